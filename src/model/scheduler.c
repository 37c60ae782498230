/* scheduler_config.json of diffusers. Keys that say what the network was trained for are kept
 * exactly or refused; keys that say how it was sampled become the card's "sampler", and what that
 * leaves out stands in "sampler_differs" (scheduler_sampler.c). A key that is missing has the default
 * of its class, as in diffusers 0.42. */
#include "model/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- keys with defaults; null is no value ---------------------------------------------------- */

dfl_status config_real(const config *c, const char *key, double fallback, double *out) {
    *out = fallback;
    return json_has_value(&c->in, key) ? json_get_real(&c->in, key, out) : DFL_OK;
}

dfl_status config_int(const config *c, const char *key, long long fallback, long long most,
                      long long *out) {
    *out = fallback;
    return json_has_value(&c->in, key) ? json_get_int(&c->in, key, 0, most, out) : DFL_OK;
}

dfl_status config_word(const config *c, const char *key, const char *fallback, const char **out) {
    *out = fallback;
    return json_has_value(&c->in, key) ? json_get_text(&c->in, key, out) : DFL_OK;
}

bool config_flag(const config *c, const char *key, bool fallback) {
    return json_has_value(&c->in, key) ? json_is_true(json_object_get(c->in.object, key))
                                       : fallback;
}

bool word_is(const char *word, const char *other) {
    return strcmp(word, other) == 0;
}

void scheduler_add_real(text *out, const char *before, double value) {
    text_add(out, "%s", before);
    text_real(out, value);
}

dfl_status config_refuse(const config *c, const char *key, const char *value) {
    return fail(DFL_E_COMBINATION, "%s: \"%s\": \"%.60s\" is not supported", c->in.where, key,
                value);
}

/* ---- classes ---------------------------------------------------------------------------------- */

/* clang-format off */
static const scheduler_class classes[] = {
    {"DDIMScheduler", BETAS, 1e-4, 0.02, "leading", true, true, END_ALPHA_ONE, true, BY_DDIM},
    {"DDIMParallelScheduler", BETAS, 1e-4, 0.02, "leading", true, true, END_ALPHA_ONE, true, BY_DDIM},
    {"DDPMScheduler", BETAS, 1e-4, 0.02, "leading", true, true, END_ZERO, true, BY_DDPM},
    {"DDPMParallelScheduler", BETAS, 1e-4, 0.02, "leading", true, true, END_ZERO, true, BY_DDPM},
    {"PNDMScheduler", BETAS, 1e-4, 0.02, "leading", true, true, END_ALPHA_FIRST, false, BY_PNDM},
    {"DEISMultistepScheduler", BETAS, 1e-4, 0.02, "linspace", false, true, END_FIRST, false, BY_DEIS},
    {"DPMSolverMultistepScheduler", BETAS, 1e-4, 0.02, "linspace", false, true, END_FINAL_SIGMAS, false, BY_DPM},
    {"DPMSolverSinglestepScheduler", BETAS, 1e-4, 0.02, "linspace", false, true, END_FINAL_SIGMAS, false, BY_DPM_SINGLE},
    {"UniPCMultistepScheduler", BETAS, 1e-4, 0.02, "linspace", false, true, END_FINAL_SIGMAS, false, BY_UNIPC},
    {"EulerDiscreteScheduler", BETAS, 1e-4, 0.02, "linspace", true, false, END_FINAL_SIGMAS, false, BY_EULER},
    {"EulerAncestralDiscreteScheduler", BETAS, 1e-4, 0.02, "linspace", true, false, END_ZERO, false, BY_ANCESTRAL},
    {"HeunDiscreteScheduler", BETAS, 0.00085, 0.012, "linspace", true, false, END_ZERO, false, BY_HEUN},
    {"LMSDiscreteScheduler", BETAS, 1e-4, 0.02, "linspace", true, false, END_ZERO, false, BY_LMS},
    {"KDPM2DiscreteScheduler", BETAS, 0.00085, 0.012, "linspace", true, false, END_ZERO, false, BY_NONE},
    {"KDPM2AncestralDiscreteScheduler", BETAS, 0.00085, 0.012, "linspace", true, false, END_ZERO, false, BY_NONE},
    {"DPMSolverSDEScheduler", BETAS, 0.00085, 0.012, "linspace", true, false, END_ZERO, false, BY_NONE},
    {"SASolverScheduler", BETAS, 1e-4, 0.02, "linspace", false, true, END_FIRST, false, BY_NONE},
    {"EDMEulerScheduler", EDM, 0, 0, "karras", false, false, END_FINAL_SIGMAS, false, BY_EULER},
    {"EDMDPMSolverMultistepScheduler", EDM, 0, 0, "karras", false, false, END_FINAL_SIGMAS, false, BY_DPM},
    {"FlowMatchEulerDiscreteScheduler", FLOW, 0, 0, "flow_match", true, false, END_ZERO, false, BY_EULER},
    {"FlowMatchHeunDiscreteScheduler", FLOW, 0, 0, "flow_match", true, false, END_ZERO, false, BY_NONE},
    {"ScoreSdeVeScheduler", VE, 0, 0, "uniform", false, false, END_FIRST, false, BY_NONE},
};
/* clang-format on */

static const struct {
    const char *name, *why;
} refusals[] = {
    {"LCMScheduler", "a distilled network, which only its own sampler fits"},
    {"TCDScheduler", "a distilled network, which only its own sampler fits"},
    {"CMStochasticIterativeScheduler", "a consistency model, which only its own sampler fits"},
    {"SCMScheduler", "a consistency model, which only its own sampler fits"},
    {"CosineDPMSolverMultistepScheduler", "its network takes atan(sigma) as the time"},
    {"IPNDMScheduler", "its network takes its own kind of time"},
    {"CogVideoXDDIMScheduler", "its network needs a text"},
    {"CogVideoXDPMScheduler", "its network needs a text"},
};

static dfl_status find_class(config *c) {
    enum { CLASSES = sizeof classes / sizeof *classes };
    const char *name, *names[CLASSES];
    TRY(json_get_text(&c->in, "_class_name", &name));
    for (size_t i = 0; i < CLASSES; i++) {
        names[i] = classes[i].name;
        if (word_is(name, classes[i].name)) {
            c->is = &classes[i];
            c->kind = classes[i].kind;
            return DFL_OK;
        }
    }
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (word_is(name, refusals[i].name))
            return fail(DFL_E_COMBINATION, "%s: %s is not supported: %s", c->in.where, name,
                        refusals[i].why);
    const char *close = text_closest(name, names, CLASSES);
    return fail(DFL_E_COMBINATION,
                "%s: the scheduler \"%.60s\" is not known; docs/foreign-models.md lists those that "
                "are%s%s",
                c->in.where, name, close ? ", the closest is " : "", close ? close : "");
}

/* ---- keys that change what is asked of the network, or only how it was sampled ----------------- */

/* A key at this value (NULL: at true or any number but 0) is refused, or only noted. */
static const struct {
    const char *key, *value;
    bool refused;
    const char *why;
} quirks[] = {
    {"variance_type", "learned", true, "networks that predict a variance too are not supported"},
    {"variance_type", "learned_range", true,
     "networks that predict a variance too are not supported"},
    {"timestep_type", "continuous", true,
     "a network that takes log(sigma) without preconditioning"},
    {"invert_sigmas", NULL, true, "a network whose time counts from the noise"},
    {"thresholding", NULL, false, "thresholding (\"--thresholding\" is near to it)"},
    {"use_dynamic_shifting", NULL, false, "use_dynamic_shifting"},
    {"shift_terminal", NULL, false, "shift_terminal"},
    {"stochastic_sampling", NULL, false, "stochastic_sampling"},
    {"euler_at_final", NULL, false, "euler_at_final"},
    {"interpolation_type", "log_linear", false, "interpolation_type log_linear"},
};

bool config_at(const config *c, const char *key, const char *value) {
    const json_t *given = json_object_get(c->in.object, key);
    if (!given || json_is_null(given)) return false;
    if (value) return json_is_string(given) && word_is(json_string_value(given), value);
    return json_is_true(given) || (json_is_number(given) && json_number_value(given) != 0);
}

void config_differs(const config *c, const char *what) {
    text_add(c->differs, "%s%s is left out", c->differs->len ? "; " : "", what);
}

static dfl_status check_quirks(const config *c) {
    for (size_t i = 0; i < sizeof quirks / sizeof *quirks; i++) {
        if (!config_at(c, quirks[i].key, quirks[i].value)) continue;
        if (quirks[i].refused)
            return fail(DFL_E_COMBINATION, "%s: \"%s\": %s", c->in.where, quirks[i].key,
                        quirks[i].why);
        config_differs(c, quirks[i].why);
    }
    if (c->is->kind == BETAS &&
        (json_has_value(&c->in, "sigma_min") || json_has_value(&c->in, "sigma_max")))
        config_differs(c, "a grid between sigma_min and sigma_max");
    if (json_array_size(json_object_get(c->in.object, "disable_corrector")) > 0)
        config_differs(c, "disable_corrector");
    if (config_flag(c, "clip_sample", c->is->clips)) config_differs(c, "clip_sample");
    if (json_has_value(&c->in, "lambda_min_clipped") &&
        json_is_number(json_object_get(c->in.object, "lambda_min_clipped")))
        config_differs(c, "lambda_min_clipped");
    return DFL_OK;
}

static const char known[] =
    "_class_name|_diffusers_version|num_train_timesteps|beta_start|beta_end|beta_schedule|trained_"
    "betas|prediction_type|timestep_spacing|steps_offset|set_alpha_to_one|rescale_betas_zero_snr|"
    "clip_sample|clip_sample_range|thresholding|dynamic_thresholding_ratio|sample_max_value|"
    "variance_type|solver_order|algorithm_type|solver_type|lower_order_final|euler_at_final|use_"
    "karras_sigmas|use_exponential_sigmas|use_beta_sigmas|use_lu_lambdas|use_flow_sigmas|flow_"
    "shift|shift|final_sigmas_type|sigma_min|sigma_max|sigma_data|sigma_schedule|rho|lambda_min_"
    "clipped|timestep_type|interpolation_type|shift_terminal|invert_sigmas|use_dynamic_shifting|"
    "time_shift_type|base_shift|max_shift|base_image_seq_len|max_image_seq_len|stochastic_sampling|"
    "predict_x0|disable_corrector|solver_p|skip_prk_steps|snr|sampling_eps|correct_steps|predictor_"
    "order|corrector_order|tau_func|noise_sampler_seed";

/* ---- the parts of the card -------------------------------------------------------------------- */

static dfl_status add_betas(config *c, text *out) {
    const char *schedule;
    double first, last, *trained = NULL;
    size_t n = 0;
    TRY(config_word(c, "beta_schedule", "linear", &schedule));
    TRY(config_real(c, "beta_start", c->is->beta_start, &first));
    TRY(config_real(c, "beta_end", c->is->beta_end, &last));
    const bool zero = config_flag(c, "rescale_betas_zero_snr", false);
    text_add(out, ", \"process\": {\"type\": \"vp_discrete\", ");
    if (json_has_value(&c->in, "trained_betas")) {
        TRY(json_get_reals(&c->in, "trained_betas", LENGTH_MAX, &trained, &n));
        c->length = (long long)n;
        for (size_t i = 0; i < n; i++)
            scheduler_add_real(out, i ? ", " : "\"trained_betas\": [", trained[i]);
        text_add(out, "]");
        free(trained);
        if (n < 2)
            return fail(DFL_E_RANGE, "%s: \"trained_betas\" has length %zu; 2 to %d is allowed",
                        c->in.where, n, LENGTH_MAX);
    } else {
        if (!word_is(schedule, "linear") && !word_is(schedule, "scaled_linear") &&
            !word_is(schedule, "squaredcos_cap_v2") && !word_is(schedule, "sigmoid"))
            return config_refuse(c, "beta_schedule", schedule);
        text_add(out, "\"num_train_timesteps\": %lld, \"beta_schedule\": \"%s\"", c->length,
                 schedule);
        if (!word_is(schedule, "squaredcos_cap_v2")) {
            scheduler_add_real(out, ", \"beta_start\": ", first);
            scheduler_add_real(out, ", \"beta_end\": ", last);
        }
    }
    text_add(out, "%s}", zero ? ", \"rescale_betas_zero_snr\": true" : "");
    return DFL_OK;
}

static dfl_status add_prediction(const config *c, bool flow, text *out) {
    const char *type;
    TRY(config_word(c, "prediction_type", flow ? "flow_prediction" : "epsilon", &type));
    if (!word_is(type, "epsilon") && !word_is(type, "sample") && !word_is(type, "v_prediction") &&
        !word_is(type, "flow_prediction"))
        return config_refuse(c, "prediction_type", type);
    if (flow != word_is(type, "flow_prediction"))
        return fail(DFL_E_COMBINATION,
                    "%s: \"prediction_type\" is \"%.40s\", but the process is %s", c->in.where,
                    type, flow ? "a flow" : "none of flow");
    text_add(out, ", \"prediction_type\": ");
    json_add_text(out, type);
    return DFL_OK;
}

static dfl_status add_discrete(config *c, text *out, text *clock) {
    TRY(add_betas(c, out));
    TRY(add_prediction(c, false, out));
    scheduler_add_real(out, ", \"t_min\": ", 1 / (double)c->length);
    text_add(out, ", \"t_max\": 1");
    text_add(clock, "\"type\": \"linear\", \"scale\": %lld, \"offset\": -1", c->length);
    return DFL_OK;
}

/* The released network of EDM predicts F with x_0 = c_skip x + c_out F, which is what the card calls
   "sample" with preconditioning, and the configuration "epsilon". */
static dfl_status add_edm(config *c, text *out, text *clock) {
    double lo, hi, data;
    const char *type;
    TRY(config_real(c, "sigma_min", 0.002, &lo));
    TRY(config_real(c, "sigma_max", 80, &hi));
    TRY(config_real(c, "sigma_data", 0.5, &data));
    TRY(config_word(c, "prediction_type", "epsilon", &type));
    if (!word_is(type, "epsilon")) return config_refuse(c, "prediction_type", type);
    if (!(lo > 0 && lo < hi))
        return fail(DFL_E_RANGE,
                    "%s: \"sigma_min\" is %g and \"sigma_max\" %g; above 0, and the second larger, "
                    "is needed",
                    c->in.where, lo, hi);
    scheduler_add_real(out, ", \"process\": {\"type\": \"edm\", \"sigma_max\": ", hi);
    scheduler_add_real(
        out,
        "}, \"prediction_type\": \"sample\", \"preconditioning\": {\"type\": \"edm\", "
        "\"sigma_data\": ",
        data);
    scheduler_add_real(out, "}, \"t_min\": ", lo / hi);
    text_add(out, ", \"t_max\": 1");
    text_add(clock, "\"type\": \"log_sigma\"");
    return DFL_OK;
}

static dfl_status add_ve(config *c, text *out, text *clock) {
    double lo, hi, least;
    TRY(config_real(c, "sigma_min", 0.01, &lo));
    TRY(config_real(c, "sigma_max", 1348, &hi));
    TRY(config_real(c, "sampling_eps", 1e-5, &least));
    scheduler_add_real(out, ", \"process\": {\"type\": \"ve\", \"sigma_min\": ", lo);
    scheduler_add_real(out, ", \"sigma_max\": ", hi);
    scheduler_add_real(out, "}, \"prediction_type\": \"score\", \"t_min\": ", least);
    text_add(out, ", \"t_max\": 1");
    text_add(clock, "\"type\": \"sigma\"");
    return DFL_OK;
}

/* Of the multistep classes it is left out, so that any will do. */
dfl_status config_shift(const config *c, double *shift) {
    const bool own = c->is->kind == FLOW;
    TRY(config_real(c, own ? "shift" : "flow_shift", 1, shift));
    if (!own || (*shift >= 0.01 && *shift <= 100)) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: a shift of %g; 0.01 to 100 is allowed", c->in.where, *shift);
}

static dfl_status add_flow(config *c, text *out, text *clock) {
    double shift;
    TRY(config_shift(c, &shift));
    if (c->is->kind != FLOW) shift = 1;
    text_add(out, ", \"process\": \"flow\"");
    TRY(add_prediction(c, true, out));
    scheduler_add_real(out, ", \"t_min\": ", netform_shifted(1 / (double)c->length, shift));
    text_add(out, ", \"t_max\": 1");
    text_add(clock, "\"type\": \"linear\", \"scale\": %lld, \"offset\": 0", c->length);
    return DFL_OK;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static dfl_status read_length(config *c) {
    TRY(config_int(c, "num_train_timesteps", 1000, LENGTH_MAX, &c->length));
    if (c->length >= 2) return DFL_OK;
    return fail(DFL_E_RANGE, "%s: \"num_train_timesteps\" is %lld; 2 to %d is allowed", c->in.where,
                c->length, LENGTH_MAX);
}

static dfl_status read_config(config *c, text *members, text *clock, text *warnings) {
    static dfl_status (*const parts[])(config *, text *, text *) = {
        [BETAS] = add_discrete, [EDM] = add_edm, [VE] = add_ve, [FLOW] = add_flow};
    TRY(find_class(c));
    TRY(read_length(c));
    TRY(check_quirks(c));
    if (c->kind == BETAS && config_flag(c, "use_flow_sigmas", false)) c->kind = FLOW;
    TRY(parts[c->kind](c, members, clock));
    TRY(scheduler_sampler(c, members));
    json_unknown(&c->in, known, warnings);
    return DFL_OK;
}

/* Python writes its default of lambda_min_clipped as -Infinity, which is no JSON; null means the same
   here: no value. */
static void drop_infinities(char *json) {
    static const char word[] = "-Infinity";
    bool quoted = false;
    for (char *p = json; *p; p++) {
        if (*p == '\\' && quoted && p[1]) {
            p++;
        } else if (*p == '"') {
            quoted = !quoted;
        } else if (!quoted && strncmp(p, word, sizeof word - 1) == 0) {
            memset(p, ' ', sizeof word - 1);
            memcpy(p, "null", 4);
        }
    }
}

dfl_status scheduler_read(const char *path, text *members, text *clock, text *warnings) {
    enum { BYTES_MAX = 1 << 22 };
    text left_out = {0};
    config c = {.differs = &left_out};
    json_t *root = NULL;
    char *data;
    size_t size;
    TRY(file_read(path, BYTES_MAX, &data, &size));
    drop_infinities(data);
    dfl_status status = json_open(path, data, size, &root, &c.in);
    free(data);
    if (status == DFL_OK) status = read_config(&c, members, clock, warnings);
    if (status == DFL_OK && (members->failed || clock->failed || left_out.failed))
        status = fail_memory();
    json_decref(root);
    text_free(&left_out);
    return status;
}
