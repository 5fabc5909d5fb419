/* Every call by which files below a directory change: numbered, told, and one of them met by a fate.

   The rule: only calls whose path is below the directory count, in the order in which any thread
   makes them. Loaded with LD_PRELOAD; a child that was forked says with `arm` what is to happen. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum fate { TELL, KILL, FAIL, SHORT };

static char below[PATH_MAX];
static int log_fd = -1;
static int fated_number, fated_errno;
static enum fate fate;
static atomic_int number;
static char fated_name[32];

void arm(const char *directory, int log, const char *name, int at, int what, int error) {
    snprintf(below, sizeof below, "%s", directory);
    snprintf(fated_name, sizeof fated_name, "%s", name);
    log_fd = log;
    fated_number = at;
    fate = what;
    fated_errno = error;
    atomic_store(&number, 0);
}

static const char *path_of(int fd, char *room) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, room, PATH_MAX - 1);
    room[length < 0 ? 0 : length] = 0;
    return room;
}

static int counts(const char *path) {
    size_t length = strlen(path);
    /* The shared index of the catalog is made anew whenever it is not there. */
    int is_index = length > 4 && strcmp(path + length - 4, "-shm") == 0;
    return below[0] && !is_index && strncmp(path, below, strlen(below)) == 0;
}

/* The fate of a call: TELL is to go on. A name that is given counts only its own calls. */
static enum fate meet(const char *name, const char *path) {
    if (!counts(path) || (fated_name[0] && strcmp(fated_name, name) != 0)) return TELL;
    int at = atomic_fetch_add(&number, 1) + 1;
    if (fate == TELL) dprintf(log_fd, "%s %s\n", name, path);
    if (fate == TELL || at != fated_number) return TELL;
    if (fate == KILL) {
        kill(getpid(), SIGKILL);
        pause();
    }
    errno = fated_errno;
    return fate;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define ON_FD(name, result, parameters, arguments)                                                 \
    result name parameters {                                                                       \
        REAL(name);                                                                                \
        char room[PATH_MAX];                                                                       \
        return meet(#name, below[0] ? path_of(fd, room) : "") == TELL ? real arguments : -1;       \
    }

ON_FD(fsync, int, (int fd), (fd))
ON_FD(fdatasync, int, (int fd), (fd))
ON_FD(ftruncate, int, (int fd, off_t length), (fd, length))
ON_FD(ftruncate64, int, (int fd, off64_t length), (fd, length))

#define WRITE(name, parameters, half, arguments)                                                   \
    ssize_t name parameters {                                                                      \
        REAL(name);                                                                                \
        char room[PATH_MAX];                                                                       \
        enum fate met = meet("write", below[0] ? path_of(fd, room) : "");                          \
        if (met == SHORT && size > 1) return real half;                                            \
        return met == TELL || met == SHORT ? real arguments : -1;                                  \
    }

WRITE(write, (int fd, const void *data, size_t size), (fd, data, size / 2), (fd, data, size))
WRITE(pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size / 2, at),
      (fd, data, size, at))
WRITE(pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size / 2, at),
      (fd, data, size, at))

#define ON_PATH(name, parameters, arguments)                                                       \
    int name parameters {                                                                          \
        REAL(name);                                                                                \
        return meet(#name, path) == TELL ? real arguments : -1;                                    \
    }

ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH(unlink, (const char *path), (path))
ON_PATH(rmdir, (const char *path), (path))

int rename(const char *from, const char *path) {
    REAL(rename);
    char both[2 * PATH_MAX];
    snprintf(both, sizeof both, "%s -> %s", from, path);
    return meet("rename", both) == TELL ? real(from, path) : -1;
}

/* The path of a name in an open directory; only a name below it can count. */
static const char *path_at(int fd, const char *name, char *path, size_t size) {
    char room[PATH_MAX];
    if (!below[0] || name[0] == '/' || fd == AT_FDCWD) return name;
    snprintf(path, size, "%s/%s", path_of(fd, room), name);
    return path;
}

int mkdirat(int fd, const char *name, mode_t mode) {
    REAL(mkdirat);
    char path[2 * PATH_MAX];
    return meet("mkdir", path_at(fd, name, path, sizeof path)) == TELL ? real(fd, name, mode) : -1;
}

int renameat(int from_fd, const char *from, int fd, const char *name) {
    REAL(renameat);
    char both[4 * PATH_MAX], source[2 * PATH_MAX], path[2 * PATH_MAX];
    snprintf(both, sizeof both, "%s -> %s", path_at(from_fd, from, source, sizeof source),
             path_at(fd, name, path, sizeof path));
    return meet("rename", both) == TELL ? real(from_fd, from, fd, name) : -1;
}

int unlinkat(int fd, const char *name, int flags) {
    REAL(unlinkat);
    char path[2 * PATH_MAX];
    return meet("unlink", path_at(fd, name, path, sizeof path)) == TELL ? real(fd, name, flags) : -1;
}

#define OPEN(name, parameters, from, without, with)                                                \
    int name parameters {                                                                          \
        REAL(name);                                                                                \
        char whole[2 * PATH_MAX];                                                                  \
        mode_t mode = 0;                                                                           \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                     \
            va_list more;                                                                          \
            va_start(more, flags);                                                                 \
            mode = va_arg(more, mode_t);                                                           \
            va_end(more);                                                                          \
        }                                                                                          \
        /* A directory that is opened changes nothing: it counts only where its name is given. */  \
        const char *called = flags & O_DIRECTORY ? "opendir" : "open";                             \
        if ((called[4] == 0 || fated_name[0]) &&                                                   \
            meet(called, path_at(from, path, whole, sizeof whole)) != TELL)                        \
            return -1;                                                                             \
        return flags & (O_CREAT | __O_TMPFILE) ? real with : real without;                         \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, (path, flags), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, (path, flags), (path, flags, mode))
OPEN(openat, (int fd, const char *path, int flags, ...), fd, (fd, path, flags),
     (fd, path, flags, mode))
OPEN(openat64, (int fd, const char *path, int flags, ...), fd, (fd, path, flags),
     (fd, path, flags, mode))
