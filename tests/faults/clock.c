/* A wall clock that is put forward or back by as many seconds as a file says, for whoever has this library preloaded.
 * Clocks that measure how long something takes go on as they are, as in a machine whose time is corrected.
 * libfaketime does the same, but Python's sleep fails under it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset(void)
{
    char text[32] = "";
    const char *path = getenv("HOSTING_ALEMBIC_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        if (read(file, text, sizeof text - 1) < 0)
            text[0] = 0;
        close(file);
    }
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exactly;
    int failed = clock_gettime(CLOCK_REALTIME, &exactly);
    (void)zone;
    now->tv_sec = exactly.tv_sec;
    now->tv_usec = exactly.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *now)
{
    struct timespec exactly;
    clock_gettime(CLOCK_REALTIME, &exactly);
    if (now)
        *now = exactly.tv_sec;
    return exactly.tv_sec;
}
