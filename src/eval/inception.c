/* The inception score (T. Salimans et al., arXiv 1606.03498): with p(c|x) the softmax of a
 * classifier's logits and q(c) its mean over the samples of a split,
 *
 *   exp( mean over samples of sum_c p(c|x) log p(c|x)  -  sum_c q(c) log q(c) )
 *
 * which is the exponential of the mean Kullback-Leibler divergence of p from q. Only the two sums are
 * kept. Mean and standard deviation are over splits. */
#include <math.h>
#include <stdlib.h>

#include "eval/metrics.h"

dfl_status inception_new(size_t classes, size_t splits, uint64_t total, inception *out) {
    *out = (inception){.classes = classes, .splits = splits, .total = total};
    if (classes < 2 || classes > 1000000)
        return fail(DFL_E_RANGE, "inception score: %zu classes; 2 to 1000000 are possible",
                    classes);
    if (splits == 0 || splits > 1000 || splits > total || total > UINT32_MAX)
        return fail(DFL_E_RANGE,
                    "inception score: %zu splits of %llu samples; 1 to 1000 of at least one are "
                    "possible",
                    splits, (unsigned long long)total);
    out->count = mem_array(splits, sizeof *out->count);
    out->entropy = mem_array(splits, sizeof *out->entropy);
    out->sum = mem_array(mem_product(splits, classes, 1), sizeof *out->sum);
    if (out->count && out->entropy && out->sum) return DFL_OK;
    inception_free(out);
    return fail_memory();
}

void inception_free(inception *s) {
    free(s->count);
    free(s->entropy);
    free(s->sum);
    *s = (inception){0};
}

/* Where split number `split` begins. */
static uint64_t begin(const inception *s, size_t split) {
    return split * s->total / s->splits; /* 1000 times 2^32 at most */
}

static size_t split_of(const inception *s, uint64_t sample) {
    size_t split = (size_t)(sample * s->splits / s->total); /* off by one at most, from below */
    while (begin(s, split + 1) <= sample) split++;
    return split;
}

static void add_sample(inception *s, size_t split, const float *logits) {
    const size_t n = s->classes;
    double top = logits[0], whole = 0, entropy = 0;
    for (size_t c = 1; c < n; c++) top = fmax(top, logits[c]);
    for (size_t c = 0; c < n; c++) whole += exp(logits[c] - top);
    const double log_whole = log(whole);
    for (size_t c = 0; c < n; c++) {
        const double log_p = logits[c] - top - log_whole, p = exp(log_p);
        s->sum[split * n + c] += p;
        entropy += p * log_p;
    }
    s->entropy[split] += entropy;
    s->count[split]++;
}

dfl_status inception_add(inception *s, uint64_t first, const float *logits, size_t n) {
    if (first > s->total || n > s->total - first)
        return fail(DFL_E_RANGE, "inception score: samples %llu to %llu of %llu",
                    (unsigned long long)first, (unsigned long long)first + n,
                    (unsigned long long)s->total);
    for (size_t i = 0; i < n * s->classes; i++)
        if (!isfinite(logits[i]))
            return fail(DFL_E_NONFINITE, "logit %zu of sample %llu is not finite", i % s->classes,
                        (unsigned long long)(first + i / s->classes));
    for (size_t i = 0; i < n; i++) add_sample(s, split_of(s, first + i), logits + i * s->classes);
    return DFL_OK;
}

dfl_status inception_merge(inception *into, const inception *from) {
    if (into->classes != from->classes || into->splits != from->splits ||
        into->total != from->total)
        return fail(DFL_E_COMBINATION, "inception score: parts of different gatherings");
    for (size_t i = 0; i < into->splits; i++) {
        into->count[i] += from->count[i];
        into->entropy[i] += from->entropy[i];
    }
    for (size_t i = 0; i < into->splits * into->classes; i++) into->sum[i] += from->sum[i];
    return DFL_OK;
}

static double score_split(const inception *s, size_t split) {
    const double n = (double)s->count[split];
    double kl = s->entropy[split] / n;
    for (size_t c = 0; c < s->classes; c++) {
        const double q = s->sum[split * s->classes + c] / n;
        if (q > 0) kl -= q * log(q);
    }
    return exp(kl);
}

dfl_status inception_score(const inception *s, inception_result *out) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < s->splits; i++) {
        const uint64_t expected = begin(s, i + 1) - begin(s, i);
        if (s->count[i] != expected)
            return fail(DFL_E_ARG, "inception score: split %zu has %llu samples instead of %llu", i,
                        (unsigned long long)s->count[i], (unsigned long long)expected);
        sum += score_split(s, i);
    }
    out->mean = sum / (double)s->splits;
    for (size_t i = 0; i < s->splits; i++) {
        const double off = score_split(s, i) - out->mean;
        squares += off * off;
    }
    out->std = sqrt(squares / (double)s->splits);
    return DFL_OK;
}
