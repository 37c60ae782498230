/* What a refinement did, for the plan's record and for people. */
#include <math.h>

#include "study/refine.h"

static void say_goal(const fit *f, text *out) {
    text_add(out, "objective %s", opt_text(&f->spec, "objective"));
    if (opt_choice(&f->spec, "objective") > 0) {
        text_add(out, ", weight ");
        text_real(out, refine_weight(f));
    }
    if (f->features.name) text_add(out, ", features of %s", f->features.name);
    text_add(out, opt_bool(&f->spec, "refine_times") ? ", times moved" : ", times kept");
}

static void say_change(const char *what, double before, double after, text *out) {
    text_add(out, ", %s %.4g to %.4g", what, before, after);
}

void refine_say(const fit *f, text *out) {
    if (f->rounds == 0) return;
    const fit_round *const before = &f->round[0], *const best = &f->round[f->best];
    text_add(out, "; refined: ");
    say_goal(f, out);
    if (f->best == 0) {
        text_add(out,
                 ": no gain on the held-out starts in %zu iterations, so the plan is as fitted",
                 f->rounds - 1);
        return;
    }
    text_add(out, ", iterate %zu of %zu, on the held-out starts", f->best, f->rounds - 1);
    say_change("objective", before->held_out, best->held_out, out);
    say_change("rms", before->rms, best->rms, out);
    if (best->ratio >= 0) say_change("variance ratio", before->ratio, best->ratio, out);
}

void refine_print(const fit *f, text *out) {
    if (f->rounds == 0) return;
    text_add(out, "\nrefined  ");
    say_goal(f, out);
    text_add(out, "\niterate   objective    held out   its rms   variance\n");
    for (size_t k = 0; k < f->rounds; k++) {
        const fit_round *const r = &f->round[k];
        text_add(out, "%7zu  %10.5g  %10.5g  %8.4g  ", k, r->objective, r->held_out, r->rms);
        if (r->ratio >= 0)
            text_add(out, "%9.4f", r->ratio);
        else
            text_add(out, "%9s", "-");
        text_add(out, k == f->best ? "  taken\n" : "\n");
    }
    if (f->best == 0)
        text_add(out, "refinement gains nothing on the held-out starts: the plan is as fitted\n");
}
