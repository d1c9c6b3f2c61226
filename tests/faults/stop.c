/* Stops the process that writes one event into a journal: before the line, with half of it written, or once it is
   written and flushed. Until a file is there; once only, because another file says that the place was reached. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int written = -1;

static void stop(const char *reached)
{
    struct timespec moment = {0, 20000000};

    close(open(reached, O_CREAT | O_WRONLY, 0600));
    while (access(getenv("HOSTING_ALEMBIC_TEST_GATE"), F_OK) != 0)
        nanosleep(&moment, NULL);
}

/* Returns where to say that the place was reached, or NULL if this is not the event, or not the first one. */
static const char *wanted(const void *line, size_t size)
{
    const char *event = getenv("HOSTING_ALEMBIC_TEST_EVENT"), *reached = getenv("HOSTING_ALEMBIC_TEST_REACHED");

    if (!event || !reached || !memmem(line, size, event, strlen(event)) || access(reached, F_OK) == 0)
        return NULL;
    return reached;
}

ssize_t write(int file, const void *line, size_t size)
{
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    const char *reached = wanted(line, size), *moment = getenv("HOSTING_ALEMBIC_TEST_MOMENT");
    ssize_t half = 0;

    if (!reached || !moment)
        return real(file, line, size);
    if (!strcmp(moment, "after"))
        written = file;
    else if (!strcmp(moment, "in"))
        half = real(file, line, size / 2);
    if (written != file)
        stop(reached);
    return half + real(file, (const char *)line + half, size - half);
}

/* A journal is closed after each event. */
int close(int file)
{
    int (*real)(int) = dlsym(RTLD_NEXT, "close");

    if (file == written && file >= 0) {
        written = -1;
        stop(getenv("HOSTING_ALEMBIC_TEST_REACHED"));
    }
    return real(file);
}
