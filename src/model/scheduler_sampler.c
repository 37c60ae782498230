/* How a scheduler of diffusers samples, as the text of a plan: the solver that its class stands for,
 * the grid that its spacing stands for, and where its last step goes. A grid of n steps:
 *
 *   leading, linspace, trailing   of the one-step classes: grids of the same names
 *   the same, multistep classes   endpoint=0: n + 1 indices without the last
 *   Euler, Heun, LMS              linspace without rounding
 *   Karras, exponential, lambdas  n sigmas from the last to the first of the table
 *   FlowMatchEuler                grid flow_match */
#include "model/scheduler.h"

#include <string.h>

/* ---- the solver -------------------------------------------------------------------------------- */

static dfl_status solver_ddpm(const config *c, text *out) {
    const char *variance;
    TRY(config_word(c, "variance_type", "fixed_small", &variance));
    const bool large = word_is(variance, "fixed_large") || word_is(variance, "fixed_large_log");
    if (!large && !word_is(variance, "fixed_small") && !word_is(variance, "fixed_small_log"))
        return config_refuse(c, "variance_type", variance);
    text_add(out, "ddpm:variance_type=%s", large ? "fixed_large" : "fixed_small");
    return DFL_OK;
}

static dfl_status solver_pndm(const config *c, text *out) {
    config_differs(c, "PNDM's start (Runge-Kutta, or a repeated evaluation)");
    text_add(out, "deis:kind=ipndm");
    return DFL_OK;
}

static dfl_status solver_deis(const config *c, text *out) {
    long long order;
    TRY(config_int(c, "solver_order", 2, 3, &order));
    text_add(out, "deis:kind=lograb,order=%lld", order > 0 ? order - 1 : 0);
    return DFL_OK;
}

static dfl_status dpm(const config *c, const char *method, text *out) {
    long long order;
    const char *algorithm, *type;
    TRY(config_int(c, "solver_order", 2, 3, &order));
    TRY(config_word(c, "algorithm_type", "dpmsolver++", &algorithm));
    TRY(config_word(c, "solver_type", "midpoint", &type));
    if (word_is(type, "logrho") || word_is(type, "bh1") || word_is(type, "bh2")) type = "midpoint";
    if (word_is(algorithm, "sde-dpmsolver++")) {
        text_add(out, "sde_dpm:order=%lld", order > 1 ? 2LL : 1LL);
        return DFL_OK;
    }
    if (!word_is(algorithm, "dpmsolver") && !word_is(algorithm, "dpmsolver++"))
        algorithm = "dpmsolver++";
    text_add(out, "dpm:algorithm_type=%s,method=%s,order=%lld,solver_type=%s", algorithm, method,
             order > 0 ? order : 1, word_is(type, "heun") ? "heun" : "midpoint");
    return DFL_OK;
}

static dfl_status solver_dpm(const config *c, text *out) {
    return dpm(c, "multistep", out);
}

static dfl_status solver_dpm_single(const config *c, text *out) {
    return dpm(c, "singlestep", out);
}

static dfl_status solver_unipc(const config *c, text *out) {
    long long order;
    const char *type;
    TRY(config_int(c, "solver_order", 2, 3, &order));
    TRY(config_word(c, "solver_type", "bh2", &type));
    text_add(out, "unipc:order=%lld,solver_type=%s,predict_x0=%d", order > 0 ? order : 1,
             word_is(type, "bh1") ? "bh1" : "bh2", config_flag(c, "predict_x0", true));
    return DFL_OK;
}

static dfl_status add_solver(const config *c, text *out) {
    static const struct {
        const char *whole; /* where the class has no options */
        dfl_status (*make)(const config *c, text *out);
    } solvers[] = {[BY_DDIM] = {"ddim", NULL},
                   [BY_DDPM] = {NULL, solver_ddpm},
                   [BY_PNDM] = {NULL, solver_pndm},
                   [BY_DEIS] = {NULL, solver_deis},
                   [BY_DPM] = {NULL, solver_dpm},
                   [BY_DPM_SINGLE] = {NULL, solver_dpm_single},
                   [BY_UNIPC] = {NULL, solver_unipc},
                   [BY_EULER] = {"euler", NULL},
                   [BY_ANCESTRAL] = {"ddim:eta=1", NULL},
                   [BY_HEUN] = {"heun", NULL},
                   [BY_LMS] = {"deis:kind=rhoab,order=3", NULL}};
    text_add(out, "solver=");
    if (solvers[c->is->solver].make) return solvers[c->is->solver].make(c, out);
    text_add(out, "%s", solvers[c->is->solver].whole);
    return DFL_OK;
}

/* ---- the grid and its end ---------------------------------------------------------------------- */

static dfl_status read_spacing(const config *c, const char **spacing, long long *offset) {
    TRY(config_word(c, "timestep_spacing", c->is->spacing, spacing));
    return config_int(c, "steps_offset", 0, 1000, offset);
}

static dfl_status add_index_grid(const config *c, text *out) {
    const char *spacing;
    long long offset;
    TRY(read_spacing(c, &spacing, &offset));
    if (!word_is(spacing, "leading") && !word_is(spacing, "linspace") &&
        !word_is(spacing, "trailing"))
        return config_refuse(c, "timestep_spacing", spacing);
    text_add(out, " grid=%s:num_train_timesteps=%lld", spacing, c->length);
    if (!word_is(spacing, "trailing") && !c->is->endpoint) text_add(out, ",endpoint=0");
    if (word_is(spacing, "linspace") && !c->is->rounded) text_add(out, ",rounded=0");
    if (word_is(spacing, "leading")) text_add(out, ",steps_offset=%lld", offset);
    return DFL_OK;
}

static dfl_status add_grid(const config *c, text *out) {
    double rho, shift;
    TRY(config_real(c, "rho", 7, &rho));
    TRY(config_shift(c, &shift));
    const bool betas = config_at(c, "use_beta_sigmas", NULL);
    if (betas && c->kind == FLOW) config_differs(c, "use_beta_sigmas");
    if (c->is->kind == FLOW) {
        text_add(out, " grid=flow_match:num_train_timesteps=%lld,shift=", c->length);
        text_real(out, shift);
        return DFL_OK;
    }
    if (c->kind == FLOW) {
        /* 1 - i(1 - 1/N)/steps for UniPC, for the others (1 - 1/N)(1 - i/steps) */
        if (shift != 1) config_differs(c, "flow_shift");
        if (c->is->solver == BY_UNIPC)
            text_add(out, " grid=linspace:num_train_timesteps=%lld,endpoint=0,rounded=0",
                     c->length);
        else
            scheduler_add_real(out, " grid=uniform t_start=", 1 - 1 / (double)c->length);
        return DFL_OK;
    }
    if (config_at(c, "use_exponential_sigmas", NULL) || config_at(c, "use_lu_lambdas", NULL) ||
        config_at(c, "sigma_schedule", "exponential")) {
        text_add(out, " grid=exponential");
        return DFL_OK;
    }
    if (betas) {
        text_add(out, " grid=beta");
        return DFL_OK;
    }
    if (c->kind == EDM || config_at(c, "use_karras_sigmas", NULL)) {
        scheduler_add_real(out, " grid=karras:rho=", rho);
        return DFL_OK;
    }
    return add_index_grid(c, out);
}

/* A table that ends at its first entry, from a grid that evaluates there, has a last step of no
   length. */
static dfl_status stands_still(const config *c, bool *still) {
    const char *spacing;
    long long offset;
    TRY(read_spacing(c, &spacing, &offset));
    const bool from_first =
        word_is(spacing, "linspace") || (word_is(spacing, "leading") && offset == 0);
    *still = c->kind == BETAS && c->is->endpoint && from_first;
    return DFL_OK;
}

static dfl_status add_end(const config *c, text *out) {
    const char *final;
    const ending end = c->is->end;
    bool zero = end == END_ZERO, still;
    double lo, hi;
    TRY(config_word(c, "final_sigmas_type", "zero", &final));
    TRY(config_real(c, "sigma_min", 0.002, &lo));
    TRY(config_real(c, "sigma_max", 80, &hi));
    TRY(stands_still(c, &still));
    if (end == END_ALPHA_ONE || end == END_ALPHA_FIRST)
        zero = config_flag(c, "set_alpha_to_one", end == END_ALPHA_ONE);
    if (end == END_FINAL_SIGMAS) zero = !word_is(final, "sigma_min");
    if (!zero && still) {
        config_differs(c, "the last step, which has no length there and goes to 0 here,");
        zero = true;
    }
    if (zero && c->is->solver == BY_DPM_SINGLE) {
        config_differs(c, "the step to 0");
        zero = false;
    }
    if (zero)
        text_add(out, " t_end=0");
    else
        scheduler_add_real(out, " t_end=", c->kind == EDM ? lo / hi : 1 / (double)c->length);
    return DFL_OK;
}

/* ---- the whole --------------------------------------------------------------------------------- */

dfl_status scheduler_sampler(const config *c, text *out) {
    text sampler = {0};
    dfl_status status = DFL_OK;
    if (c->is->solver == BY_NONE) return DFL_OK;
    status = add_solver(c, &sampler);
    if (status == DFL_OK) status = add_grid(c, &sampler);
    if (status == DFL_OK) status = add_end(c, &sampler);
    if (status == DFL_OK && sampler.failed) status = fail_memory();
    if (status == DFL_OK) {
        text_add(out, ", \"sampler\": ");
        json_add_text(out, sampler.data);
        if (c->differs->len) {
            text_add(out, ", \"sampler_differs\": ");
            json_add_text(out, c->differs->data);
        }
    }
    text_free(&sampler);
    return status;
}
