/* What "times" tells: tables for people, CSV and JSON for programs. */
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "times.h"

static const char *const edges[] = {"inside", "first", "last"};

static double bits(const times_study *s, double nats) {
    return nats / ((double)s->net.dim * 0.69314718055994530942);
}

/* ---- for people ------------------------------------------------------------------------------ */

/* Digits behind the point, the same all down a table: bounds of pictures are hundreds of nats. */
static int digits_of(const times_study *s, const times_choice *c) {
    return fabs(c->curve[0].point[s->m - 1].path.mean) >= 100 ? 3 : 6;
}

static void add_row(const times_study *s, const times_curve *curve, size_t j, int digits,
                    text *out) {
    const times_point *p = &curve->point[j];
    text_add(out, "%9.6f %8.3f %10.*f %10.*f %8.5f %10.*f %9.*f%s%s\n", s->t[j], -2 * s->depth[j],
             digits, p->path.mean, digits, p->mismatch.mean, bits(s, p->total.mean), digits,
             p->above.mean, digits, p->above.error, j == curve->least ? " least" : "",
             j == curve->chosen ? " *" : "");
}

static void add_table(const times_study *s, const times_choice *c, size_t k, text *out) {
    const times_curve *curve = &c->curve[k];
    text_add(out, "\nstart from %s\n", times_start_name(s, k));
    text_add(out, "%9s %8s %10s %10s %8s %10s %9s\n", "T", "log-SNR", "path", "mismatch",
             "bits/dim", "above", "+-");
    for (size_t j = 0; j < c->m; j++) add_row(s, curve, j, digits_of(s, c), out);
}

static void add_words(const text *words, text *out) {
    if (words->failed) out->failed = true;
    if (words->data) text_wrap(out, words->data, 0, 4);
}

/* What stands between a curve and a plain recommendation. */
static void add_doubts(const times_study *s, const times_curve *curve, text *words) {
    if (curve->edge == TIMES_AT_FIRST)
        text_add(words,
                 " The least is at the grid's first time: this start needs no network there, "
                 "or the grid begins too late.");
    if (curve->edge == TIMES_AT_LAST)
        text_add(words, " The least is at the grid's last time: no gap of the network shows.");
    if (curve->flat && curve->edge != TIMES_AT_LAST)
        text_add(words,
                 " Flat: T = %.4g lies within two standard errors of the least, so these images do "
                 "not tell them apart.",
                 s->t[s->m - 1]);
}

static void add_verdict(const times_study *s, const times_choice *c, size_t k, text *out) {
    const times_curve *curve = &c->curve[k];
    text words = {0};
    text_add(&words, "%s: begin at T = %.4g, the smallest within one standard error of the least",
             times_start_name(s, k), s->t[curve->chosen]);
    text_add(&words, " (%.4g to %.4g are).", s->t[curve->within[0]], s->t[curve->within[1]]);
    text_add(&words, " The least is at T = %.4g", curve->T);
    if (isfinite(curve->error))
        text_add(&words, " +- %.2g (95 %%: %.4g to %.4g)", curve->error, curve->low, curve->high);
    text_add(&words, ". Gain over T = %.4g: %.4g +- %.2g nats.", s->t[s->m - 1], curve->gain.mean,
             curve->gain.error);
    if (k > 0)
        text_add(&words, " Gain over the least of N(0, I): %.4g +- %.2g nats.",
                 curve->over_plain.mean, curve->over_plain.error);
    add_doubts(s, curve, &words);
    text_add(out, "\n");
    add_words(&words, out);
    text_free(&words);
}

void times_print(const times_study *s, const times_choice *c, text *out) {
    text words = {0};
    text_add(out, "bound on -log p per image as a function of T, in nats; %zu images, %zu times\n",
             s->count, c->m);
    text_add(
        &words,
        "reconstruction at T = %.4g: %.4g +- %.2g, in bits/dim included. The integral over every "
        "other time differs by %.2g +- %.2g.",
        s->t[0], c->decoder.mean, c->decoder.error, c->coarse.mean, c->coarse.error);
    add_words(&words, out);
    text_free(&words);
    for (size_t k = 0; k < c->nstarts; k++) add_table(s, c, k, out);
    for (size_t k = 0; k < c->nstarts; k++) add_verdict(s, c, k, out);
}

/* ---- for programs ---------------------------------------------------------------------------- */

/* In quotes where a comma, quote or line end is inside (RFC 4180). */
static void add_field(text *out, const char *s) {
    text_add(out, "\"");
    for (; *s; s++) text_add(out, *s == '"' ? "\"\"" : "%c", *s);
    text_add(out, "\"");
}

static void add_csv_mean(text *out, times_mean x) {
    text_add(out, ",");
    text_real(out, x.mean);
    text_add(out, ",");
    text_real(out, x.error);
}

void times_csv(const times_study *s, const times_choice *c, text *out) {
    text_add(out, "start,T,log_snr,path,path_se,mismatch,mismatch_se,total,total_se,above,above_se,"
                  "bits_per_dim,least,chosen\n");
    for (size_t k = 0; k < c->nstarts; k++)
        for (size_t j = 0; j < c->m; j++) {
            const times_point *p = &c->curve[k].point[j];
            add_field(out, times_start_name(s, k));
            text_add(out, ",");
            text_real(out, s->t[j]);
            text_add(out, ",");
            text_real(out, -2 * s->depth[j]);
            add_csv_mean(out, p->path);
            add_csv_mean(out, p->mismatch);
            add_csv_mean(out, p->total);
            add_csv_mean(out, p->above);
            text_add(out, ",");
            text_real(out, bits(s, p->total.mean));
            text_add(out, ",%d,%d\n", j == c->curve[k].least, j == c->curve[k].chosen);
        }
}

static void add_mean(text *out, const char *key, times_mean x) {
    text_add(out, ", \"%s\": {\"mean\": ", key);
    json_add_real(out, x.mean);
    json_add_next_real(out, "se", x.error);
    text_add(out, "}");
}

static void add_points(const times_study *s, const times_curve *curve, text *out) {
    text_add(out, ", \"points\": [");
    for (size_t j = 0; j < s->m; j++) {
        const times_point *p = &curve->point[j];
        text_add(out, "%s{\"T\": ", j ? ", " : "");
        json_add_real(out, s->t[j]);
        json_add_next_real(out, "log_snr", -2 * s->depth[j]);
        add_mean(out, "path", p->path);
        add_mean(out, "mismatch", p->mismatch);
        add_mean(out, "total", p->total);
        add_mean(out, "above", p->above);
        json_add_next_real(out, "bits_per_dim", bits(s, p->total.mean));
        text_add(out, "}");
    }
    text_add(out, "]");
}

static void add_curve(const times_study *s, const times_choice *c, size_t k, text *out) {
    const times_curve *curve = &c->curve[k];
    text_add(out, "%s{\"start\": ", k ? ", " : "");
    json_add_text(out, times_start_name(s, k));
    if (k > 0) {
        text_add(out, ", \"kind\": ");
        json_add_text(out, prior_kind(s->prior[k - 1].clean));
        text_add(out, ", \"prior_sha256\": \"%s\"", s->prior[k - 1].digest);
    }
    json_add_next_real(out, "recommended", s->t[curve->chosen]);
    text_add(out, ", \"within_one_se\": [");
    json_add_real(out, s->t[curve->within[0]]);
    text_add(out, ", ");
    json_add_real(out, s->t[curve->within[1]]);
    text_add(out, "]");
    json_add_next_real(out, "least", curve->T);
    json_add_next_real(out, "least_se", curve->error);
    text_add(out, ", \"least_interval\": [");
    json_add_real(out, curve->low);
    text_add(out, ", ");
    json_add_real(out, curve->high);
    text_add(out, "], \"edge\": \"%s\", \"flat\": %s", edges[curve->edge],
             curve->flat ? "true" : "false");
    add_mean(out, "gain_over_last", curve->gain);
    add_mean(out, "gain_over_plain", curve->over_plain);
    add_points(s, curve, out);
    text_add(out, "}");
}

void times_json(const times_study *s, const times_choice *c, text *out) {
    add_mean(out, "reconstruction", c->decoder);
    add_mean(out, "coarse_less_fine", c->coarse);
    text_add(out, ", \"curves\": [");
    for (size_t k = 0; k < c->nstarts; k++) add_curve(s, c, k, out);
    text_add(out, "]");
}
