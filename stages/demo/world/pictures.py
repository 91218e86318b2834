"""The demo's pictures, (96, 96) RGB: of entities, of mentions by `image_kind`, of captions."""

from io import BytesIO
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

from stages.demo.world.canvas import PICTURE_SIZE, Canvas
from stages.demo.world.looks import Look, random_look
from stages.demo.world.occasions import Occasion
from stages.demo.world.scenes import draw_occasion, draw_scene
from stages.demo.world.subjects import draw_subject
from stages.demo.world.words import WORDS, Kind

_JPEG_QUALITY = 85

Range = tuple[float, float]


def portrait(kind: Kind, look: Look, random: Random) -> Image.Image:
    """The clean picture that a knowledge base would have: the subject large in its scene."""
    return _posed(kind, look, random, x=(0.46, 0.54), y=(0.49, 0.55), scale=(0.72, 0.84))


def snapshot(kind: Kind, look: Look, random: Random) -> Image.Image:
    """A good picture by somebody else: other place, zoom, light and cut."""
    image = _posed(kind, look, random, x=(0.38, 0.62), y=(0.44, 0.6), scale=(0.62, 0.92))
    return _taken(image, random)


def _taken(image: Image.Image, random: Random) -> Image.Image:
    """As somebody takes a photograph: a little is cut off, light and colours are its own."""
    cut = random.randint(0, 7)  # pixels lost at each side
    left, top = random.randint(0, cut), random.randint(0, cut)
    right, bottom = PICTURE_SIZE - cut + left, PICTURE_SIZE - cut + top
    image = image.resize((PICTURE_SIZE,) * 2, Image.Resampling.BILINEAR, (left, top, right, bottom))
    image = ImageEnhance.Brightness(image).enhance(random.uniform(0.75, 1.2))
    return ImageEnhance.Color(image).enhance(random.uniform(0.75, 1.2))


def _posed(kind: Kind, look: Look, random: Random, x: Range, y: Range, scale: Range) -> Image.Image:
    """The subject in its scene, its frame drawn from the ranges, either way round."""
    canvas = draw_scene(kind.label, random)
    place = random.uniform(*x), random.uniform(*y)
    canvas.frame(*place, random.uniform(*scale), mirror=random.random() < 0.5)
    draw_subject(canvas, kind.form, kind.label, look, random)
    return canvas.finish()


def spoilt(image: Image.Image, random: Random) -> Image.Image:
    """`low_quality`: washed out under a coloured light, and blurred, pixelated, dark or noisy.

    Part of what it shows can still be told: shapes here, a hint of the colours there.
    """
    image = ImageEnhance.Color(image).enhance(random.uniform(0.05, 0.4))
    generator = np.random.default_rng(random.getrandbits(64))
    cast = generator.uniform(0.6, 1.3, 3)
    image = Image.fromarray((np.asarray(image) * cast).clip(0, 255).astype(np.uint8))
    harm = random.choice(("blur", "pixels", "dark", "noise"))
    if harm == "blur":
        return image.filter(ImageFilter.GaussianBlur(random.uniform(6.0, 10.0)))
    if harm == "pixels":
        side = random.randint(4, 7)
        small = image.resize((side, side), Image.Resampling.BOX)
        return small.resize(image.size, Image.Resampling.NEAREST)
    factor, noise = (random.uniform(0.04, 0.08), 12.0) if harm == "dark" else (1.0, 150.0)
    pixels = np.asarray(image, np.float32) * factor
    pixels = pixels + generator.normal(0, noise, pixels.shape).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def graphic(random: Random) -> Image.Image:
    """`low_value`: a smiley, a meme, a card with words; it shows nobody."""
    r, g, b = random.choice((*WORDS.looks.main_colours.values(), (235, 235, 235), (30, 30, 30)))
    # A tint of its own: no graphic of a caption has the bytes of a mention's.
    r, g, b = (max(0, min(255, c + random.randint(-18, 18))) for c in (r, g, b))
    canvas = Canvas((r, g, b))
    sort = random.choice(("smiley", "card", "meme"))
    if sort != "card":
        canvas.frame(0.5, 0.5 if sort == "smiley" else 0.55, random.uniform(0.7, 0.95))
        canvas.ellipse(-0.45, -0.45, 0.45, 0.45, (255, 214, 60))
        for side in (-1, 1):
            if random.random() < 0.3:
                canvas.line([(side * 0.25, -0.12), (side * 0.1, -0.12)], (60, 45, 20), 0.05)
            else:
                canvas.ellipse(side * 0.17 - 0.06, -0.2, side * 0.17 + 0.06, -0.04, (60, 45, 20))
        if random.random() < 0.7:
            canvas.arc(-0.26, -0.2, 0.26, 0.28, 20, 160, (60, 45, 20), 0.05)
        else:
            canvas.ellipse(-0.12, 0.08, 0.12, 0.32, (60, 45, 20))
    image = canvas.finish()
    if sort != "smiley":
        draw = ImageDraw.Draw(image)
        light = r + g + b < 380 or sort == "meme"
        height = PICTURE_SIZE / 2 if sort == "card" else 12
        draw.text(
            (PICTURE_SIZE / 2, height + random.uniform(-3, 3)),
            random.choice(WORDS.cards).replace("\n", "\n" if sort == "card" else " "),
            font=ImageFont.load_default(18 if sort == "card" else 15),
            fill=(255, 255, 255) if light else (20, 20, 20),
            stroke_width=1 if sort == "meme" else 0,
            stroke_fill=(0, 0, 0),
            anchor="mm",
            align="center",
        )
    return image


def beside_the_point(
    kind: Kind, look: Look, occasion: Occasion | None, random: Random
) -> Image.Image:
    """`low_relevance`: the occasion's crowd, the bare scene, or somebody else of the kind in front.

    The entity's own look is absent, or stands tiny at the back.
    """
    draw, is_bare = random.random(), False
    if occasion is not None and draw < 0.5:
        canvas = draw_occasion(occasion, random)
    else:
        canvas = draw_scene(kind.label, random)
        is_bare = draw >= 0.8
        if not is_bare:
            canvas.frame(random.uniform(0.55, 0.65), 0.56, random.uniform(0.6, 0.75))
            draw_subject(canvas, kind.form, kind.label, random_look(random), random)
    if random.random() < 0.6:
        canvas.frame(random.uniform(0.12, 0.25), random.uniform(0.55, 0.75), 0.2)
        draw_subject(canvas, kind.form, kind.label, look, random)
        is_bare = False
    # Two bare scenes of one kind can be the same to the eye.
    return _taken(canvas.finish(), random) if is_bare else canvas.finish()


def crowd(occasion: Occasion, random: Random) -> Image.Image:
    """A picture of an occasion, nobody known in it."""
    return draw_occasion(occasion, random).finish()


def as_jpeg(image: Image.Image) -> bytes:
    """A picture's file, as all of the demo's are."""
    file = BytesIO()
    image.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
