/* Times that stand in a file: as they are, or as a quantity that the file names.
 *
 *   t             the library's time
 *   sigma         b/a, the noise level of EDM and k-diffusion; 0 is t = 0
 *   log_snr       log(a^2/b^2)
 *   half_log_snr  log(a/b), DPM-Solver's lambda
 *   timestep      an index 0 .. N - 1 of an N-step table: t = (i + 1)/N */
#include "grid/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

enum { FILE_LIMIT = 1 << 22, TIMES_MAX = 100001 };

const char grid_quantities[] = "t|sigma|log_snr|half_log_snr|timestep";
static const char *const names[] = {"t", "sigma", "log_snr", "half_log_snr", "timestep"};
static const char *const plurals[] = {"times", "sigmas", "log_snrs", "half_log_snrs", "timesteps"};
enum { QUANTITIES = sizeof names / sizeof *names };

/* ---- one number -------------------------------------------------------------------------------- */

int grid_quantity(const char *word) {
    for (int i = 0; i < QUANTITIES; i++)
        if (strcmp(word, names[i]) == 0 || strcmp(word, plurals[i]) == 0) return i;
    return -1;
}

/* Outside of the process's times there is no inverse, whatever its formula answers. */
static dfl_status time_of_rho(const process *p, int quantity, double x, double rho, double *t) {
    if (p->row->components != 1)
        return fail(DFL_E_COMBINATION, "process %s is in phase space and has no %s",
                    p->row->is.name, names[quantity]);
    if (rho >= 0 && isfinite(rho)) {
        /* an end of the process, which rounding may have left, is one of its times */
        *t = rho > 0 ? fmin(fmax(process_time_of_rho(p, rho), p->t_lo), p->t_hi) : 0;
        if (fabs(process_at(p, *t).rho - rho) <= 1e-6 * rho) return DFL_OK;
    }
    return fail(DFL_E_RANGE, "process %s is nowhere at %s = %s", p->row->is.name, names[quantity],
                real_text(x).s);
}

dfl_status grid_time(const process *p, const grid_unit *unit, double x, double *t) {
    switch (unit->quantity) {
    case GRID_SIGMA: return time_of_rho(p, unit->quantity, x, x, t);
    case GRID_LOG_SNR: return time_of_rho(p, unit->quantity, x, exp(-x / 2), t);
    case GRID_HALF_LOG_SNR: return time_of_rho(p, unit->quantity, x, exp(-x), t);
    case GRID_TIMESTEP: *t = (x + 1) / (double)unit->length; return DFL_OK;
    default: *t = x; return DFL_OK;
    }
}

/* ---- a file ------------------------------------------------------------------------------------ */

typedef struct {
    const char *path;
    grid_unit unit;
    double *x;
    size_t n;
} reader;

static void drop_comments(char *data) {
    for (char *at = data; (at = strchr(at, '#'));) {
        const size_t n = strcspn(at, "\r\n");
        memset(at, ' ', n);
    }
}

/* Numbers apart by blanks, commas, brackets or line ends, behind a name or none. */
static dfl_status parse_words(reader *r, char *data) {
    bool first = true;
    char *rest = data;
    r->x = mem_array(TIMES_MAX, sizeof *r->x);
    if (!r->x) return fail_memory();
    drop_comments(data);
    for (char *word = strtok_r(rest, ", \t\r\n[]", &rest); word;
         word = strtok_r(NULL, ", \t\r\n[]", &rest)) {
        const int quantity = first ? grid_quantity(word) : -1;
        first = false;
        if (quantity >= 0) {
            r->unit.quantity = quantity;
            continue;
        }
        if (r->n == TIMES_MAX)
            return fail(DFL_E_RANGE, "grid file: %s holds more than %d times", r->path, TIMES_MAX);
        if (!text_to_real(word, &r->x[r->n++]))
            return fail(DFL_E_FORMAT, "grid file: %s: '%.40s' is not a number", r->path, word);
    }
    return DFL_OK;
}

/* An object with one of the names; what else it says is for people. */
static dfl_status parse_object(reader *r, const char *data, size_t size) {
    const char *found = NULL;
    json_t *root = NULL;
    json_in in;
    TRY(json_open(r->path, data, size, &root, &in));
    dfl_status status = DFL_OK;
    for (int i = 0; i < 2 * QUANTITIES && status == DFL_OK; i++) {
        const char *key = i < QUANTITIES ? names[i] : plurals[i - QUANTITIES];
        if (!json_has(&in, key)) continue;
        if (found)
            status =
                fail(DFL_E_FORMAT, "grid file: %s: \"%s\" and \"%s\" are both given; one is needed",
                     r->path, found, key);
        found = key;
        r->unit.quantity = i % QUANTITIES;
    }
    if (status == DFL_OK && !found)
        status = fail(DFL_E_KEY, "grid file: %s: one of the keys %s is needed", r->path,
                      "times, sigmas, log_snrs, half_log_snrs, timesteps");
    if (status == DFL_OK) status = json_get_reals(&in, found, TIMES_MAX, &r->x, &r->n);
    json_decref(root);
    return status;
}

static dfl_status read_file(reader *r) {
    char *data = NULL;
    size_t size;
    TRY(file_read(r->path, FILE_LIMIT, &data, &size));
    dfl_status status;
    if (strlen(data) != size)
        status = fail(DFL_E_FORMAT, "grid file: %s: a zero byte is not a number", r->path);
    else if (data[strspn(data, " \t\r\n")] == '{')
        status = parse_object(r, data, size);
    else
        status = parse_words(r, data);
    free(data);
    return status;
}

dfl_status grid_read_times(const process *p, const opts *o, double end, double **times, size_t *n) {
    reader r = {.path = opt_text(o, "path"),
                .unit = {.length = (size_t)opt_int(o, "num_train_timesteps")}};
    if (!r.path) return fail(DFL_E_KEY, "grid file: path is missing");
    dfl_status status = read_file(&r);
    const bool ends = r.unit.quantity == GRID_TIMESTEP; /* without the last time */
    double *const t = mem_array(r.n + 1, sizeof *t);
    if (status == DFL_OK && !t) status = fail_memory();
    for (size_t i = 0; i < r.n && status == DFL_OK; i++) {
        status = grid_time(p, &r.unit, r.x[i], &t[i]);
        if (status != DFL_OK) status = fail_in(status, "grid file: %s", r.path);
    }
    free(r.x);
    if (status != DFL_OK) {
        free(t);
        return status;
    }
    if (ends && r.n > 0) t[r.n++] = isnan(end) ? 0 : end;
    *times = t;
    *n = r.n;
    return DFL_OK;
}
