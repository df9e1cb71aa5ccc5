/* Counts the calls that change files below one folder, and at one of them ends the process or lets the disk fail.
 *
 * Loaded by LD_PRELOAD. faults_arm(folder, n, code, sticky): at call n, SIGKILL where code is 0, else -1 with errno = code,
 * and so at all later calls where sticky is set. n = 0 only counts. faults_seen() is the count so far.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[4096];
static size_t folder_length;
static long at;
static int code, sticky;
static atomic_long seen;

void faults_arm(const char *where, long n, int error, int from_then_on) {
    strncpy(folder, where, sizeof folder - 1);
    folder_length = strlen(folder);
    at = n;
    code = error;
    sticky = from_then_on;
    atomic_store(&seen, 0);
}

long faults_seen(void) { return atomic_load(&seen); }

static int below(const char *path) { return folder_length && path && strncmp(path, folder, folder_length) == 0; }

static int hit(void) {
    long now = atomic_fetch_add(&seen, 1) + 1;
    if (!at || now < at || (now > at && !sticky)) return 0;
    if (!code) kill(getpid(), SIGKILL);
    errno = code;
    return 1;
}

static int path_fails(const char *path) { return below(path) && hit(); }

static int at_fails(int directory, const char *path) {
    char whole[8192], link[64];
    if (!folder_length) return 0;
    if (path[0] == '/' || directory == AT_FDCWD) return path_fails(path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, whole, 4096);
    if (length < 0) return 0;
    whole[length] = 0;
    return path_fails(whole);
}

static int file_fails(int file) { return at_fails(file, ""); }

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        return (flags & (O_CREAT | O_WRONLY | O_RDWR)) && path_fails(path) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        return (flags & (O_CREAT | O_WRONLY | O_RDWR)) && at_fails(directory, path) ? -1 : real(directory, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int file, const void *data, size_t size) { REAL(write); return file_fails(file) ? -1 : real(file, data, size); }
int fsync(int file) { REAL(fsync); return file_fails(file) ? -1 : real(file); }
int rename(const char *from, const char *to) { REAL(rename); return path_fails(from) ? -1 : real(from, to); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); return path_fails(path) ? -1 : real(path, mode); }
int rmdir(const char *path) { REAL(rmdir); return path_fails(path) ? -1 : real(path); }
int unlink(const char *path) { REAL(unlink); return path_fails(path) ? -1 : real(path); }
int unlinkat(int directory, const char *path, int flags) {
    REAL(unlinkat);
    return at_fails(directory, path) ? -1 : real(directory, path, flags);
}
int utimensat(int directory, const char *path, const struct timespec times[2], int flags) {
    REAL(utimensat);
    return path && at_fails(directory, path) ? -1 : real(directory, path, times, flags);
}
