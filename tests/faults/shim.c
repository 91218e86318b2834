/* Counts the mutations of files below one folder, and ends the process, or fills the disk, at one.

   Loaded by LD_PRELOAD; `shim_arm` begins to count in the process that calls it, and in no fork of
   it. A mutation is what changes names or bytes: creating and emptying a file, writes, renames,
   links, removals, folders, sizes. What changes nothing is none: opening an old file, chmod. A line
   of the log tells each; lines with a dot tell besides what is synced, and what a rename moves.

   Not seen: writes through a memory map, system calls that a library makes without libc, and bytes
   that libc's own buffers (FILE) write on fclose; fwrite itself is seen. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { COUNT, KILL, KILL_HALF, INTERRUPT, TERMINATE, FULL, FULL_SHORT, NO_INODES };
enum kind { CHANGES, GROWS, CREATES };   /* needs no space; needs space; needs an inode, too */
enum verdict { PASS, HALF_THEN_KILL, HALF, FAIL };

static pid_t armed_pid = 0;
static char folder[PATH_MAX];
static size_t folder_length;
static enum mode mode;
static long at;
static int log_handle = -1;
static atomic_long seen;

void shim_arm(const char *below, int how, long which, int log)
{
    folder_length = strlen(below);
    memcpy(folder, below, folder_length + 1);
    mode = how;
    at = which;
    log_handle = log;
    atomic_store(&seen, 0);
    armed_pid = getpid();
}

long shim_seen(void) { return atomic_load(&seen); }

static void *libc(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = libc(#name)

static int armed(void) { return armed_pid && armed_pid == getpid(); }

/* The absolute path of `path` relative to `handle`; of the handle's file where `path` is NULL. */
static int resolve(int handle, const char *path, char *found, size_t size)
{
    char link[64];
    ssize_t length = 0;
    if (path && path[0] == '/') return snprintf(found, size, "%s", path) < (int)size;
    if (handle == AT_FDCWD) {
        if (!getcwd(found, size)) return 0;
        length = strlen(found);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
        length = readlink(link, found, size - 1);
        if (length <= 0) return 0;
        found[length] = 0;
    }
    if (!path) return 1;
    return snprintf(found + length, size - length, "/%s", path) < (int)(size - length);
}

static void end(int signal)
{
    kill(getpid(), signal);
    for (;;) pause();
}

/* Whether the armed process means a file below the folder; then `found` is its path in there. */
static const char *inside(int handle, const char *path, char *found, size_t size)
{
    int kept = errno;
    if (!armed()) return NULL;
    int known = resolve(handle, path, found, size);
    errno = kept;
    if (!known || strncmp(found, folder, folder_length)) return NULL;
    if (found[folder_length] == 0) return found + folder_length;
    return found[folder_length] == '/' ? found + folder_length + 1 : NULL;
}

static void tell(char kind, const char *what, const char *path)
{
    char line[2 * PATH_MAX + 64];
    int kept = errno, length = snprintf(line, sizeof line, "%c %s %s\n", kind, what, path);
    if (syscall(SYS_write, log_handle, line, length) < 0) abort();
    errno = kept;
}

static void note(const char *what, int handle, const char *path)
{
    char where[2 * PATH_MAX];
    const char *inner = inside(handle, path, where, sizeof where);
    if (inner) tell('.', what, inner);
}

/* What becomes of a mutation; `divisible` says whether half of it can be done. */
static enum verdict mutation(const char *what, int handle, const char *path, enum kind kind,
                             int divisible)
{
    char where[2 * PATH_MAX];
    const char *inner = inside(handle, path, where, sizeof where);
    if (!inner) return PASS;
    long number = atomic_fetch_add(&seen, 1) + 1;
    tell("-+*"[kind], what, inner);
    if (mode == COUNT || number < at) return PASS;
    switch (mode) {
    case KILL:
        if (number == at) end(SIGKILL);
        return PASS;
    case KILL_HALF:
        if (number > at) return PASS;
        if (!divisible) end(SIGKILL);
        return HALF_THEN_KILL;
    case INTERRUPT:
    case TERMINATE:
        if (number == at) kill(getpid(), mode == INTERRUPT ? SIGINT : SIGTERM);
        return PASS;
    case FULL_SHORT:
        if (number == at && kind == GROWS && divisible) return HALF;
        /* fall through */
    case FULL:
        if (kind == CHANGES) return PASS;
        break;
    case NO_INODES:
        if (kind != CREATES) return PASS;
        break;
    default:
        return PASS;
    }
    errno = ENOSPC;
    return FAIL;
}

/* Whether bytes up to `end` need space that the file does not have yet. */
static enum kind growth(int handle, off_t end)
{
    struct stat found;
    int kept = errno;
    int grows = !fstat(handle, &found) && S_ISREG(found.st_mode)
                && (end > found.st_size || end > found.st_blocks * 512);
    errno = kept;
    return grows ? GROWS : CHANGES;
}

static off_t position(int handle)
{
    int kept = errno;
    struct stat found;
    off_t here = lseek(handle, 0, SEEK_CUR);
    if (fcntl(handle, F_GETFL) & O_APPEND && !fstat(handle, &found)) here = found.st_size;
    errno = kept;
    return here;
}

/* Files that are opened: a mutation where one is created or emptied. */

static int opening(const char *what, int handle, const char *path, int flags)
{
    struct stat found;
    if (!armed() || !(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE) return 1;
    int kept = errno;
    int there = !fstatat(handle, path, &found, 0);
    errno = kept;
    if (there && (flags & O_EXCL || !(flags & O_TRUNC) || !found.st_size)) return 1;
    if (!there && !(flags & O_CREAT)) return 1;
    return mutation(what, handle, path, there ? CHANGES : CREATES, 0) == PASS;
}

static mode_t given_mode(int flags, va_list more)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        REAL(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t permissions = given_mode(flags, more); \
        va_end(more); \
        if (!opening("create", AT_FDCWD, path, flags)) return -1; \
        return real(path, flags, permissions); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int handle, const char *path, int flags, ...) \
    { \
        REAL(name); \
        va_list more; \
        va_start(more, flags); \
        mode_t permissions = given_mode(flags, more); \
        va_end(more); \
        if (!opening("create", handle, path, flags)) return -1; \
        return real(handle, path, flags, permissions); \
    }
OPENAT(openat)
OPENAT(openat64)

#define CREAT(name) \
    int name(const char *path, mode_t permissions) \
    { \
        REAL(name); \
        if (!opening("create", AT_FDCWD, path, O_CREAT | O_TRUNC)) return -1; \
        return real(path, permissions); \
    }
CREAT(creat)
CREAT(creat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *how) \
    { \
        REAL(name); \
        int flags = how[0] == 'w' ? O_CREAT | O_TRUNC : how[0] == 'a' ? O_CREAT : 0; \
        if (!opening("create", AT_FDCWD, path, flags)) return NULL; \
        return real(path, how); \
    }
FOPEN(fopen)
FOPEN(fopen64)

/* Writes: `CALL` with `N` bytes, or with half of them. */

#define WRITTEN(what, handle, stop, count, CALL) \
    do { \
        size_t N = (count); \
        if (!armed() || !N) return CALL; \
        switch (mutation(what, handle, NULL, growth(handle, stop), N > 1)) { \
        case PASS: return CALL; \
        case FAIL: return -1; \
        case HALF: N /= 2; return CALL; \
        case HALF_THEN_KILL: N /= 2; if (CALL < 0) abort(); end(SIGKILL); \
        } \
        return -1; \
    } while (0)

ssize_t write(int handle, const void *data, size_t count)
{
    REAL(write);
    WRITTEN("write", handle, position(handle) + (off_t)count, count, real(handle, data, N));
}

#define PWRITE(name, offset_type) \
    ssize_t name(int handle, const void *data, size_t count, offset_type offset) \
    { \
        REAL(name); \
        WRITTEN("write", handle, offset + (off_t)count, count, real(handle, data, N, offset)); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

static size_t bytes_of(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

/* Half of a gathered write is the first half of its bytes. */
static ssize_t gathered(int handle, const struct iovec *parts, size_t bytes, off_t offset)
{
    size_t done = 0;
    for (; done < bytes; parts++) {
        size_t left = bytes - done, part = parts->iov_len < left ? parts->iov_len : left;
        long wrote = offset < 0 ? syscall(SYS_write, handle, parts->iov_base, part)
                                : syscall(SYS_pwrite64, handle, parts->iov_base, part, offset + done);
        if (wrote < 0) return done ? (ssize_t)done : -1;
        done += wrote;
        if ((size_t)wrote < part) break;
    }
    return done;
}

ssize_t writev(int handle, const struct iovec *parts, int count)
{
    size_t bytes = bytes_of(parts, count);
    WRITTEN("write", handle, position(handle) + (off_t)bytes, bytes,
            gathered(handle, parts, N, -1));
}

#define PWRITEV(name, offset_type) \
    ssize_t name(int handle, const struct iovec *parts, int count, offset_type offset) \
    { \
        size_t bytes = bytes_of(parts, count); \
        WRITTEN("write", handle, offset + (off_t)bytes, bytes, \
                gathered(handle, parts, N, offset)); \
    }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

/* How much of `count` bytes a file has from here on: the last call of a copy finds nothing. */
static size_t left_of(int handle, const off64_t *offset, size_t count)
{
    struct stat found;
    off_t start = offset ? *offset : position(handle);
    if (fstat(handle, &found) || !S_ISREG(found.st_mode)) return count;
    return start >= found.st_size ? 0 : count;
}

#define SENDFILE(name, offset_type) \
    ssize_t name(int to, int from, offset_type *offset, size_t count) \
    { \
        REAL(name); \
        if (armed() && !left_of(from, offset, count)) return real(to, from, offset, count); \
        WRITTEN("copy", to, position(to) + 1, count, real(to, from, offset, N)); \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t count,
                        unsigned flags)
{
    REAL(copy_file_range);
    if (armed() && !left_of(from, from_offset, count))
        return real(from, from_offset, to, to_offset, count, flags);
    off_t start = to_offset ? *to_offset : position(to);
    WRITTEN("copy", to, start + 1, count,
            real(from, from_offset, to, to_offset, N, flags));
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    REAL(fwrite);
    if (!armed() || !size || !count) return real(data, size, count, file);
    int handle = fileno(file);
    enum kind kind = growth(handle, position(handle) + (off_t)(size * count));
    switch (mutation("write", handle, NULL, kind, size * count > 1)) {
    case PASS: return real(data, size, count, file);
    case FAIL: return 0;
    case HALF: return real(data, size, count / 2, file);
    case HALF_THEN_KILL:
        real(data, 1, size * count / 2, file);
        fflush(file);
        end(SIGKILL);
    }
    return 0;
}

/* Space that is reserved, and sizes that are set. */

#define POSIX_FALLOCATE(name, offset_type) \
    int name(int handle, offset_type offset, offset_type length) \
    { \
        REAL(name); \
        enum kind kind = armed() ? growth(handle, offset + length) : CHANGES; \
        return mutation("reserve", handle, NULL, kind, 0) == PASS ? real(handle, offset, length) \
                                                                  : ENOSPC; \
    }
POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

#define FALLOCATE(name, offset_type) \
    int name(int handle, int how, offset_type offset, offset_type length) \
    { \
        REAL(name); \
        enum kind kind = armed() ? growth(handle, offset + length) : CHANGES; \
        return mutation("reserve", handle, NULL, kind, 0) == PASS \
                   ? real(handle, how, offset, length) : -1; \
    }
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

/* Everything else is done or not done; what fails anyway (a folder that is there already, a file that
   is gone) is no mutation. */

static int there(int handle, const char *path)
{
    struct stat found;
    int kept = errno;
    int is = armed() && !fstatat(handle, path, &found, AT_SYMLINK_NOFOLLOW);
    errno = kept;
    return is;
}

static int parent(int handle, const char *path)
{
    char above[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path) return 1;
    return snprintf(above, sizeof above, "%.*s", (int)(slash - path), path) < (int)sizeof above
           && there(handle, above);
}

#define WHOLE(name, parameters, values, counts, handle, path, what, kind) \
    int name parameters \
    { \
        REAL(name); \
        int done = !(counts) || mutation(what, handle, path, kind, 0) == PASS; \
        return done ? real values : -1; \
    }
#define MADE(name, parameters, values, h, p, what) \
    WHOLE(name, parameters, values, !there(h, p) && parent(h, p), h, p, what, CREATES)
#define CHANGED(name, parameters, values, h, p, what) \
    WHOLE(name, parameters, values, there(h, p), h, p, what, CHANGES)
#define MOVED(name, parameters, values, f, from, t, to) \
    WHOLE(name, parameters, values, there(f, from) && (note("from", f, from), 1), t, to, "rename", \
          CHANGES)

WHOLE(ftruncate, (int h, off_t size), (h, size), 1, h, NULL, "size", CHANGES)
WHOLE(ftruncate64, (int h, off64_t size), (h, size), 1, h, NULL, "size", CHANGES)
CHANGED(truncate, (const char *p, off_t size), (p, size), AT_FDCWD, p, "size")
CHANGED(truncate64, (const char *p, off64_t size), (p, size), AT_FDCWD, p, "size")
CHANGED(unlink, (const char *p), (p), AT_FDCWD, p, "remove")
CHANGED(unlinkat, (int h, const char *p, int flags), (h, p, flags), h, p, "remove")
CHANGED(rmdir, (const char *p), (p), AT_FDCWD, p, "remove")
CHANGED(remove, (const char *p), (p), AT_FDCWD, p, "remove")
MOVED(rename, (const char *from, const char *to), (from, to), AT_FDCWD, from, AT_FDCWD, to)
MOVED(renameat, (int f, const char *from, int t, const char *to), (f, from, t, to), f, from, t, to)
MOVED(renameat2, (int f, const char *from, int t, const char *to, unsigned flags),
      (f, from, t, to, flags), f, from, t, to)
MADE(link, (const char *from, const char *p), (from, p), AT_FDCWD, p, "link")
MADE(linkat, (int f, const char *from, int h, const char *p, int flags), (f, from, h, p, flags),
     h, p, "link")
MADE(symlink, (const char *text, const char *p), (text, p), AT_FDCWD, p, "link")
MADE(symlinkat, (const char *text, int h, const char *p), (text, h, p), h, p, "link")
MADE(mkdir, (const char *p, mode_t how), (p, how), AT_FDCWD, p, "mkdir")
MADE(mkdirat, (int h, const char *p, mode_t how), (h, p, how), h, p, "mkdir")

#define SYNC(name) \
    int name(int handle) \
    { \
        REAL(name); \
        int done = real(handle); \
        if (!done) note("sync", handle, NULL); \
        return done; \
    }
SYNC(fsync)
SYNC(fdatasync)
