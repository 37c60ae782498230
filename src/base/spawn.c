/* Other programs, started without a shell: waited for, ended on request, and quoted when they fail. */
#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { TICK_MS = 100 };

/* The last line that was said, of a stream that comes in pieces. */
typedef struct {
    char *line;
    size_t cap, len;
    bool ended; /* a line end was seen: the next character begins another line */
} last_line;

static void last_add(last_line *l, const char *piece, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (piece[i] == '\n' || piece[i] == '\r') {
            l->ended = true;
            continue;
        }
        if (l->ended) l->len = 0;
        l->ended = false;
        if (l->len + 1 < l->cap) l->line[l->len++] = piece[i];
        l->line[l->len] = 0;
    }
}

/* A group of its own, so that what it starts ends with it; signals as a shell would give them. */
static int set_up(posix_spawnattr_t *attr, posix_spawn_file_actions_t *files, int err) {
    sigset_t usual;
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    int code = posix_spawnattr_setpgroup(attr, 0);
    if (!code) code = posix_spawnattr_setsigdefault(attr, &usual);
    if (!code) code = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    if (!code) code = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
    if (!code) code = posix_spawn_file_actions_addopen(files, 1, "/dev/null", O_WRONLY, 0);
    if (!code) code = posix_spawn_file_actions_adddup2(files, err, 2);
    return code;
}

static int start(const char *const *argv, int err, pid_t *child) {
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t files;
    int code = posix_spawnattr_init(&attr);
    if (code) return code;
    code = posix_spawn_file_actions_init(&files);
    if (!code) {
        code = set_up(&attr, &files, err);
        /* The pointers are not written through; the type is as old as C. */
        if (!code) code = posix_spawnp(child, argv[0], &files, &attr, (char *const *)argv, environ);
        posix_spawn_file_actions_destroy(&files);
    }
    posix_spawnattr_destroy(&attr);
    return code;
}

/* Listens until the program has ended: others may hold the pipe longer than it lives. */
static dfl_status listen_to(const spawn_wish *wish, pid_t child, int in, int *state) {
    char piece[512];
    last_line said = {.line = wish->said, .cap = wish->cap};
    for (bool open = true, over = false;;) {
        struct pollfd fd = {.fd = open ? in : -1, .events = POLLIN};
        const int ready = poll(&fd, 1, over ? 0 : TICK_MS);
        const ssize_t got = ready > 0 ? read(in, piece, sizeof piece) : 0;
        if (got > 0) last_add(&said, piece, (size_t)got);
        if (ready > 0 && got == 0) open = false;
        if (over && (ready <= 0 || !open)) return DFL_OK;
        const int code = !over && wish->watch ? wish->watch(wish->user) : 0;
        if (code) {
            kill(-child, SIGKILL);
            while (waitpid(child, state, 0) < 0 && errno == EINTR) {
            }
            return fail(code, "%s: ended at its caller's wish", wish->argv[0]);
        }
        if (!over) over = waitpid(child, state, WNOHANG) == child;
    }
}

dfl_status spawn_wait(const spawn_wish *wish, int *code) {
    int ends[2] = {-1, -1}, state = 0;
    pid_t child = -1;
    if (wish->cap) *wish->said = 0;
    if (pipe(ends) != 0) return fail(DFL_E_IO, "%s: %s", wish->argv[0], strerror(errno));
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    const int failed = start(wish->argv, ends[1], &child);
    close(ends[1]);
    dfl_status status;
    if (failed)
        status = fail(DFL_E_IO, "%s cannot be started: %s", wish->argv[0], strerror(failed));
    else
        status = listen_to(wish, child, ends[0], &state);
    close(ends[0]);
    TRY(status);
    *code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    return DFL_OK;
}
