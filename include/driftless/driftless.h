/* driftless: few-evaluation samplers for pretrained diffusion models.
 *
 * The only public header. C11; opaque handles; nothing here has visible fields.
 *
 * Conventions, valid everywhere:
 *  - Every function that can fail returns a dfl_status: DFL_OK (0), a negative DFL_E_..., or a
 *    positive value that came out of one of your callbacks. dfl_last_message() then holds one
 *    sentence (what, where, what is allowed) for the calling thread.
 *  - Results come back through the last pointer, which is set to NULL on failure.
 *  - `..._free(NULL)` does nothing. What you get from `..._new` or `..._open`, you free.
 *  - Text results are written to (buf, cap), always terminated if cap > 0; *need (may be NULL)
 *    receives the length without the terminator. cap = 0 just asks for the length.
 *  - Time is library time t in (0, 1]: the noise grows with t, and sampling runs from 1 down.
 *    Index i of an N-step discrete model is t = (i + 1) / N. t = 0 is clean data.
 *  - A state is x_t = a(t) x_0 + b(t) n; lambda = log(a/b) is half the log-SNR, rho = b/a.
 *  - NFE counts network evaluations per sample; guidance doubles the network calls behind it.
 *  - The library never prints, never exits, and keeps no global state. Callbacks run on the thread
 *    that called. Numbers are read and written independent of the locale.
 */
#ifndef DRIFTLESS_H
#define DRIFTLESS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define DFL_API
#else
#define DFL_API __attribute__((visibility("default")))
#endif

#define DFL_VERSION_MAJOR 0
#define DFL_VERSION_MINOR 1
#define DFL_VERSION_PATCH 0

/* ---- status ---------------------------------------------------------------------------------- */

typedef int dfl_status;

enum {
#define DFL_STATUS(name, value, text) DFL_##name = value,
#include "driftless/status.def"
#undef DFL_STATUS
};

/* "0.1.0": the version of the library that runs, which may differ from the header's. */
DFL_API const char *dfl_version(void);

/* Name ("DFL_E_RANGE") and general meaning of a code; never NULL, also for unknown codes. */
DFL_API const char *dfl_status_name(dfl_status status);
DFL_API const char *dfl_status_text(dfl_status status);

/* The sentence that belongs to this thread's most recent failure; never NULL. */
DFL_API const char *dfl_last_message(void);

/* ---- models ---------------------------------------------------------------------------------- */

/* A denoiser together with its card. Belongs to one thread at a time. */
typedef struct dfl_model dfl_model;

/* One evaluation: what the network is asked. Valid during the callback it is handed to, or until
   the next call of dfl_run_next. */
typedef struct dfl_request dfl_request;

enum { DFL_FLOAT32 = 0, DFL_FLOAT64 = 1 };

/* Evaluates the network for every sample of the request and fills its whole output.
   Returns 0; any other value ends the run, and dfl_run_sample returns that value. */
typedef int (*dfl_denoise_fn)(void *user, const dfl_request *request);

/* Opens `where`: a model folder (model.json + ONNX network, or what diffusers and optimum export,
   docs/foreign-models.md), or "mixture:FILE.json", an analytic Gaussian mixture whose answers are
   exact. `options` is text, may be NULL; keys, separated by
   commas: threads (default 0: all), precision (f32 | bf16 | f16), microbatch (default 16: samples
   per network call, always padded to it), cache (folder for compiled networks, default none).
   Errors: E_IO, E_FORMAT, E_KEY, E_RANGE, E_COMBINATION (the parts of a card do not go together),
   E_MODEL, E_RUNTIME (the message says how to get it), E_MEMORY. */
DFL_API dfl_status dfl_model_open(const char *where, const char *options, dfl_model **out);

/* A model around your own function. `card` is the JSON text of a model card (docs/model-card.md)
   without "network"; `user` is handed to every call and stays yours. fn = NULL: a card and nothing
   else, for runs whose loop you own (dfl_run_next); whatever would evaluate it is refused. */
DFL_API dfl_status dfl_model_callback(const char *card, dfl_denoise_fn fn, void *user,
                                      dfl_model **out);

/* Classifier-free guidance around a model whose card has a null class, on the raw network output:
   y = y_null + scale (y_class - y_null); scale 1 is no guidance. Takes `inner` over, also on
   failure; freeing the result frees it. (Ho and Salimans, arXiv 2207.12598, with their w + 1 =
   scale.) */
DFL_API dfl_status dfl_model_guide(dfl_model *inner, double scale, dfl_model **out);

/* Classifier guidance: the score of what the model is fed gets `scale` times the gradient of
   log p(label | input), through the raw output, whatever it predicts; scale 0 is none. A sample whose
   label is the null class is not guided. `gradient` is asked like a denoiser, with an output of the
   input's dimensions: the gradient with respect to the input as it is fed. It must read times and
   labels by the calls with `_of`, and answer for all samples if there are no classes. NULL, and user
   NULL: the model's own, which folders have whose card names a "classifier", and mixtures with
   labels. Takes `inner` over, also on failure. Goes around dfl_model_guide, never inside: the
   gradient's scale is then not multiplied by the other. (Dhariwal and Nichol, arXiv 2105.05233.)
   E_COMBINATION: there is no classifier, or one guides already. */
DFL_API dfl_status dfl_model_guide_classifier(dfl_model *inner, double scale,
                                              dfl_denoise_fn gradient, void *user, dfl_model **out);

/* Evaluates the model, guidance included: fills the request's output. For a loop of your own, and
   for callbacks that stand around another model. What your function returned, E_COMBINATION or
   E_RANGE (the request is not for a model of this shape, these classes), E_MODEL. */
DFL_API dfl_status dfl_model_answer(dfl_model *model, const dfl_request *request);

/* The card and the facts of the runtime as JSON text. */
DFL_API dfl_status dfl_model_info(const dfl_model *model, char *buf, size_t cap, size_t *need);

/* Numbers in one sample, the product of the card's sample shape. */
DFL_API size_t dfl_model_dim(const dfl_model *model);

/* Network calls per sample behind one evaluation: 1; 2 under guidance, unless its scale is 0 or 1;
   one more under classifier guidance, whose gradient counts as a call. */
DFL_API int dfl_model_calls(const dfl_model *model);

DFL_API void dfl_model_free(dfl_model *model);

/* ---- what a request holds -------------------------------------------------------------------- */

/* Number of samples, and the type of input and output: DFL_FLOAT32 or DFL_FLOAT64. */
DFL_API size_t dfl_request_count(const dfl_request *request);
DFL_API int dfl_request_dtype(const dfl_request *request);

/* Numbers per sample of the input and of the output (they differ only in phase space and for
   networks that predict a variance too). */
DFL_API size_t dfl_request_input_dim(const dfl_request *request);
DFL_API size_t dfl_request_output_dim(const dfl_request *request);

/* Input [count][input_dim], yours to read, and output [count][output_dim], yours to fill; dense,
   row-major, never overlapping. */
DFL_API const void *dfl_request_input(const dfl_request *request);
DFL_API void *dfl_request_output(const dfl_request *request);

/* Library time t, and tau, what the card's time_map makes of it for the network. */
DFL_API double dfl_request_time(const dfl_request *request);
DFL_API double dfl_request_network_time(const dfl_request *request);

/* The label of the input, x = a x_0 + b n: a has 1 or 2 numbers, b has 1 or 4 (a row-major 2x2
   factor in phase space); input scaling of preconditioned networks is included. */
DFL_API const double *dfl_request_a(const dfl_request *request);
DFL_API const double *dfl_request_b(const dfl_request *request);

/* Absolute index of sample i of the request (0 <= i < count) in the run. */
DFL_API uint64_t dfl_request_sample(const dfl_request *request, size_t i);

/* Class label of sample i, or -1 where the model has no classes. */
DFL_API int64_t dfl_request_label(const dfl_request *request, size_t i);

/* Adaptive integration takes every sample to its own times. Then 1, and time, network time and
   label of the input belong to sample i (0 <= i < count); the four calls without `_of` have no
   meaning. Only models that say so get such requests: mixtures do, a callback is told below. The
   calls with `_of` answer for every request. */
DFL_API int dfl_request_is_mixed(const dfl_request *request);
DFL_API double dfl_request_time_of(const dfl_request *request, size_t i);
DFL_API double dfl_request_network_time_of(const dfl_request *request, size_t i);
DFL_API const double *dfl_request_a_of(const dfl_request *request, size_t i);
DFL_API const double *dfl_request_b_of(const dfl_request *request, size_t i);

/* Says whether a callback's function reads the times above (mixed = 1); until then it gets one
   request for each group of samples at equal times. E_COMBINATION for other kinds of models. */
DFL_API dfl_status dfl_model_mixed_times(dfl_model *model, int mixed);

/* ---- plans ----------------------------------------------------------------------------------- */

/* A compiled sampler: rows of coefficients. Immutable; share it freely between threads. */
typedef struct dfl_plan dfl_plan;

/* Compiles a plan for `model` (borrowed during the call). `spec` is text, keys separated by blanks:
     solver=NAME[:key=value,...]    default deis
     grid=NAME[:key=value,...]      default power:kappa=2
     steps=N | nfe=N                default steps=10; nfe is a budget the solver spends
     process=NAME[:key=value,...]   default: the card's
     t_start=T t_end=T              default: the card's t_max and t_min
     denoise=0|1                    one more evaluation to land on x_0; default 0
     published=0|1                  what is not given here as the card's "sampler" has it; default 0
   e.g. "solver=deis:order=3 steps=10 grid=power:kappa=2". dfl_describe() lists all options.
   Errors: E_KEY, E_RANGE, E_COMBINATION, E_MEMORY; E_IO, E_FORMAT for the file of a grid or of
   statistics. */
DFL_API dfl_status dfl_plan_new(const dfl_model *model, const char *spec, dfl_plan **out);

/* Reads a plan from JSON text (docs/plan-format.md). The text may come from a stranger: it is
   accepted only if the verifier finds nothing wrong. Errors: E_FORMAT, E_KEY, E_RANGE, E_MEMORY. */
DFL_API dfl_status dfl_plan_from_json(const char *text, size_t length, dfl_plan **out);

/* The plan as JSON text (17 digits: reading it back gives the same plan), and as a table for
   people: step, t, lambda, order, coefficients. */
DFL_API dfl_status dfl_plan_to_json(const dfl_plan *plan, char *buf, size_t cap, size_t *need);
DFL_API dfl_status dfl_plan_to_text(const dfl_plan *plan, char *buf, size_t cap, size_t *need);

/* Lines of text about a plan that will run, but perhaps not as hoped: unknown fields of its JSON,
   coefficients that grow, options of the solver that change nothing. Empty for most plans. */
DFL_API dfl_status dfl_plan_warnings(const dfl_plan *plan, char *buf, size_t cap, size_t *need);

/* Known before anything runs: evaluations per sample, steps, draws of noise per sample, state
   buffers, components of the state (1, or 2 in phase space). */
DFL_API size_t dfl_plan_nfe(const dfl_plan *plan);
DFL_API size_t dfl_plan_steps(const dfl_plan *plan);
DFL_API size_t dfl_plan_draws(const dfl_plan *plan);
DFL_API size_t dfl_plan_slots(const dfl_plan *plan);
DFL_API int dfl_plan_components(const dfl_plan *plan);

DFL_API void dfl_plan_free(dfl_plan *plan);

/* ---- runs ------------------------------------------------------------------------------------ */

/* A plan, a model and the memory to run one on the other. One thread at a time. */
typedef struct dfl_run dfl_run;

/* Called when the start state (step 0) and each following state is complete. t falls. state:
   [count][state_dim] of the run's dtype, valid during the call, first sample `first`.
   Non-zero ends the run with that value. */
typedef int (*dfl_observe_fn)(void *user, size_t step, size_t steps, double t, uint64_t first,
                              size_t count, const void *state);

/* Kinds of random numbers a run asks for. */
enum { DFL_DRAW_START = 0, DFL_DRAW_NOISE = 1, DFL_DRAW_PICK = 2, DFL_DRAW_TABLE = 3 };

/* Replaces the built-in random numbers: fill dst, [count][dim] doubles, for samples first,
   first + 1, ... of draw number `draw`. Kind START and NOISE: standard normals; PICK: one uniform
   in [0, 1) per sample (dim 1); TABLE: standard normals that a mixture kernel's offsets are made
   of, sample 0 only, dim = components x numbers of a state. Non-zero ends the run with that value.
 */
typedef int (*dfl_noise_fn)(void *user, int kind, uint32_t draw, uint64_t first, size_t count,
                            size_t dim, double *dst);

/* Prepares a run; plan and model are borrowed until dfl_run_free. `options` is text, may be NULL;
   keys, separated by commas: seed (default 0), dtype (float32 | float64), batch (samples held in
   memory at once, default 64; results do not depend on it), and for starts at a time T below 1, where
   noise is not the law of x_T (docs/diffusion-times.md):
     prior=PATH            the auxiliary density (docs/prior-format.md) that start states are drawn
                           from: a file, brought to the plan's first time if it is of clean data, or
                           the folder of a flow, which is one at its own time; a sample gets its own
                           class where it has classes, the null class all of them
     prior_map=draw|flow   draw (default), or the probability-flow map from noise at the model's last
                           time to T, for a prior of one Gaussian, or one a class: one seed stays
                           one sample
     data_moments=FILE     .npz of the data's mean mu and covariance sigma: what the mismatch is
                           measured against, and the map's moments if there is no prior
   Not in phase space.
   Errors: E_KEY, E_RANGE, E_COMBINATION (plan and model, or a prior and they, do not go together),
   E_IO, E_FORMAT, E_MEMORY. */
DFL_API dfl_status dfl_run_new(const dfl_plan *plan, dfl_model *model, const char *options,
                               dfl_run **out);

/* To be set before samples are asked for; NULL: none, and the built-in numbers. */
DFL_API void dfl_run_observe(dfl_run *run, dfl_observe_fn fn, void *user);
DFL_API void dfl_run_noise(dfl_run *run, dfl_noise_fn fn, void *user);

/* The tensor that GIVEN rows of that name read: one state, shared by all samples, of the run's
   dtype; borrowed until the run is freed. E_KEY if the plan asks for no such name. */
DFL_API dfl_status dfl_run_given(dfl_run *run, const char *name, const void *values);

/* Ends the run at its next row with DFL_E_STOPPED. The one call that is allowed from another
   thread or from a signal handler. Stays in force until samples are asked for again. */
DFL_API void dfl_run_cancel(dfl_run *run);

/* Draws samples first .. first + count - 1 of the run's seed.
     labels   [count], each in 0 .. classes or the null class; NULL: sample i gets i mod classes
     start    [count][state_dim] of the run's dtype, states at the plan's start; NULL: drawn, from
              the run's prior if it has one (seed and index alone decide, whatever dfl_run_noise
              has; a flow map takes its normals from there)
     samples  [count][sample dim] of the run's dtype, filled by the call
   Sample i depends only on (plan, model, seed, i, its label), never on batch, threads or first. */
DFL_API dfl_status dfl_run_sample(dfl_run *run, uint64_t first, size_t count, const int64_t *labels,
                                  const void *start, void *samples);

/* The same, bit for bit, for a program that owns the loop:

     status = dfl_run_begin(run, first, count, NULL, NULL, samples);
     if (!status) status = dfl_run_next(run, &request);
     while (!status && request) {
         (read dfl_request_input, fill the whole dfl_request_output)
         status = dfl_run_next(run, &request);
     }

   dfl_run_begin takes the arguments of dfl_run_sample; labels, start and samples are borrowed until
   the end. dfl_run_next takes the output of the request before it, goes on as far as it can, and
   hands out the next request, of at most `batch` samples; NULL: all samples are there. Observers
   and noise sources are called from within. The run's model is not: its card says what is expected,
   and if the model is guided, you evaluate it with its guidance, or have dfl_model_answer do it.
   A failure ends what is in progress (samples of earlier batches are complete), and so do the next
   dfl_run_begin, dfl_run_sample and dfl_run_noise; to give up half-way, make no further call.
   dfl_run_next: E_ARG if nothing is in progress, E_NONFINITE, E_STOPPED, what a callback gave. */
DFL_API dfl_status dfl_run_begin(dfl_run *run, uint64_t first, size_t count, const int64_t *labels,
                                 const void *start, void *samples);
DFL_API dfl_status dfl_run_next(dfl_run *run, const dfl_request **request);

/* Where samples begin, and how far that is from the law of the data at that time, as far as it is
   known: a JSON object (docs/cli.md). Known before anything is sampled; the first call measures it,
   which for a prior takes 1000 of its log-densities. */
DFL_API dfl_status dfl_run_start(const dfl_run *run, char *buf, size_t cap, size_t *need);

/* Seconds that dfl_run_sample has spent inside the model since dfl_run_new. */
DFL_API double dfl_run_model_seconds(const dfl_run *run);

DFL_API void dfl_run_free(dfl_run *run);

/* ---- adaptive integration -------------------------------------------------------------------- */

/* The probability-flow ODE by embedded Runge-Kutta steps whose size every sample controls by
   itself: the reference that plans are measured against. No plan, because its coefficients depend
   on the data. One thread at a time. */
typedef struct dfl_ode dfl_ode;

/* Prepares an integration; the model is borrowed until dfl_ode_free. `spec` is text, keys separated
   by blanks: solver=ode45[:rtol=...,atol=...,max_nfe=...], process, t_start, t_end and denoise as
   in dfl_plan_new; t_end must be above 0, and denoise costs no evaluation here. `options`: as in
   dfl_run_new; states are double inside whatever dtype says, and `batch` samples are evaluated
   together where the model takes mixed times.
   Errors: E_KEY, E_RANGE, E_COMBINATION, E_IO, E_FORMAT, E_MEMORY. */
DFL_API dfl_status dfl_ode_new(dfl_model *model, const char *spec, const char *options,
                               dfl_ode **out);

/* Called when a sample has been taken to time t: `done` of its way, 0 to 1, with `nfe` evaluations
   so far; state: its [state_dim] numbers. Non-zero ends the integration with that value. */
typedef int (*dfl_advance_fn)(void *user, uint64_t sample, double t, double done, size_t nfe,
                              const double *state);

DFL_API void dfl_ode_observe(dfl_ode *ode, dfl_advance_fn fn, void *user);
DFL_API void dfl_ode_noise(dfl_ode *ode, dfl_noise_fn fn, void *user);

/* As dfl_run_cancel. */
DFL_API void dfl_ode_cancel(dfl_ode *ode);

/* As dfl_run_sample: the same seed gives the same start states. nfe: [count] evaluations that each
   sample took, rejected steps included; may be NULL. */
DFL_API dfl_status dfl_ode_sample(dfl_ode *ode, uint64_t first, size_t count, const int64_t *labels,
                                  const void *start, void *samples, size_t *nfe);

/* Components of a state (1, or 2 in phase space), the start as dfl_run_start tells it, seconds spent
   inside the model, and the solver
   with all its options as text. */
DFL_API int dfl_ode_components(const dfl_ode *ode);
DFL_API dfl_status dfl_ode_start(const dfl_ode *ode, char *buf, size_t cap, size_t *need);
DFL_API double dfl_ode_model_seconds(const dfl_ode *ode);
DFL_API dfl_status dfl_ode_text(const dfl_ode *ode, char *buf, size_t cap, size_t *need);

DFL_API void dfl_ode_free(dfl_ode *ode);

/* ---- tuning ---------------------------------------------------------------------------------- */

/* A scan of a solver's free numbers against a converged reference from the same starts. */
typedef struct dfl_tuning dfl_tuning;

/* Prepares a scan; the model is borrowed until dfl_tuning_free. `spec` is text, keys separated by
   blanks:
     solver=NAME[:key=value,...]  options given here stay fixed
     nfe=[N,...]                  budgets, each tuned on its own; required
     scan=key=lo:hi:n,...         lambda, lambda_s, kappa (of grid power); lo to hi in n values.
                                  What is neither named nor fixed: lambda=-1:4:21 if the solver has
                                  it, lambda_s=0.4:2:9 if it is stochastic and has it, kappa=1:2:2
     grid=NAME[:key=value,...]    this grid, in place of a scan of kappa
     samples=256 seed=1000        starts; not the seed that samples are drawn with later
     reference=auto|ode45|heun    auto: ode45 for models that take mixed times, else heun
     process t_start t_end denoise  as in dfl_plan_new
   Errors: E_KEY, E_RANGE, E_COMBINATION, E_MEMORY. */
DFL_API dfl_status dfl_tuning_new(dfl_model *model, const char *spec, dfl_tuning **out);

/* Runs it will take, one for the reference included. */
DFL_API size_t dfl_tuning_runs(const dfl_tuning *tuning);

/* Called before each of the runs of a scan, and often during it: number `run` of `runs`. Non-zero
   ends the scan with that value. */
typedef int (*dfl_tuning_fn)(void *user, size_t run, size_t runs);

/* Runs the scan. A choice is the value with the least error: the median over samples of the RMS
   distance to the reference for deterministic solvers, the sliced Wasserstein distance to as many
   reference samples for stochastic ones. */
DFL_API dfl_status dfl_tuning_run(dfl_tuning *tuning, dfl_tuning_fn fn, void *user);

/* The whole scan as a table for people, at most 80 columns wide. */
DFL_API dfl_status dfl_tuning_to_text(const dfl_tuning *tuning, char *buf, size_t cap,
                                      size_t *need);

/* Adds the choices to a store, a JSON file that is made if missing; NULL: tuned.json in the
   model's folder. Choices for the same solver, process, times, grid and budget are replaced.
   E_COMBINATION if the store belongs to another model. */
DFL_API dfl_status dfl_tuning_save(const dfl_tuning *tuning, const char *store);

DFL_API void dfl_tuning_free(dfl_tuning *tuning);

/* Rewrites the spec of a plan: `auto` as the value of a solver's option or as the grid becomes the
   choice in the store (NULL: as above) for the nearest budget. Text without auto is handed back.
   note receives one sentence on what was taken, "" if nothing was.
   Errors: E_KEY where the store has no such entry, E_COMBINATION, E_IO, E_FORMAT. */
DFL_API dfl_status dfl_tuned_spec(const dfl_model *model, const char *store, const char *spec,
                                  char *buf, size_t cap, size_t *need, char *note, size_t note_cap);

/* ---- statistics ------------------------------------------------------------------------------ */

/* Mean |eps| of a model over time (eps: the noise prediction, whatever the network predicts), over
   samples and elements, gathered from long runs: what solver deis_sn divides by. */
typedef struct dfl_stats dfl_stats;

/* Prepares the runs; the model is borrowed until dfl_stats_free. `spec` as in dfl_plan_new, with
   defaults solver=deis:order=2 grid=trailing (uniform if t_max is below 1) nfe=1000, and without
   thresholding. `options` is text, may be NULL; keys, separated by commas: samples (default 256), seed and first (default 0: the
   samples are those of dfl_run_sample), batch (default 64; no influence on results), bins (times of
   the result, default as many as are evaluated).
   Errors: E_KEY, E_RANGE, E_COMBINATION, E_ARG (a model that has no digest), E_MEMORY. */
DFL_API dfl_status dfl_stats_new(dfl_model *model, const char *spec, const char *options,
                                 dfl_stats **out);

/* Takes up what dfl_stats_save wrote. E_COMBINATION: of another model, other settings or samples.
 */
DFL_API dfl_status dfl_stats_resume(dfl_stats *stats, const char *path);

/* Called after each evaluation: `done` of the batch's `total` evaluations of a sample. Non-zero
   ends the batch with that value; it is then not counted. */
typedef int (*dfl_stats_fn)(void *user, size_t done, size_t total);

/* Draws the next batch, if samples are left; fn may be NULL. */
DFL_API dfl_status dfl_stats_batch(dfl_stats *stats, dfl_stats_fn fn, void *user);

/* Samples that are counted already, samples to come, evaluations per sample. */
DFL_API size_t dfl_stats_samples(const dfl_stats *stats);
DFL_API size_t dfl_stats_left(const dfl_stats *stats);
DFL_API size_t dfl_stats_nfe(const dfl_stats *stats);

/* Writes the file (docs/cli.md), complete or not yet: value k of N belongs to t = (k + 1)/N. It
   appears whole or not at all. */
DFL_API dfl_status dfl_stats_save(const dfl_stats *stats, const char *path);

/* Adds up n files of one model and equal settings with different samples: the same bytes as one run
   over all of them gives. E_COMBINATION where they do not go together. */
DFL_API dfl_status dfl_stats_merge(const char *const *paths, size_t n, const char *path);

DFL_API void dfl_stats_free(dfl_stats *stats);

/* ---- doctor ---------------------------------------------------------------------------------- */

/* A report of what is odd about a model and a plan: findings of three severities, each with its
   fix. */
typedef struct dfl_doctor dfl_doctor;

enum { DFL_NOTE = 0, DFL_WARNING = 1, DFL_ERROR = 2 };

/* Opens the model (where, options: as in dfl_model_open), compiles the plan (spec: as in
   dfl_plan_new) and runs a short test of about 20 evaluations: docs/cli.md lists the checks. What
   is wrong with model, card, network or plan becomes a finding. Errors: E_IO, E_RUNTIME, E_ARG,
   E_KEY (a spec that is not understood), E_MEMORY. */
DFL_API dfl_status dfl_doctor_new(const char *where, const char *options, const char *spec,
                                  dfl_doctor **out);

/* Number of findings of a severity: DFL_NOTE, DFL_WARNING or DFL_ERROR. */
DFL_API size_t dfl_doctor_count(const dfl_doctor *doctor, int severity);

/* The report for people, at most 80 columns wide, and as a JSON object (docs/cli.md). */
DFL_API dfl_status dfl_doctor_to_text(const dfl_doctor *doctor, char *buf, size_t cap,
                                      size_t *need);
DFL_API dfl_status dfl_doctor_to_json(const dfl_doctor *doctor, char *buf, size_t cap,
                                      size_t *need);

DFL_API void dfl_doctor_free(dfl_doctor *doctor);

/* ---- what there is --------------------------------------------------------------------------- */

/* Options, defaults, ranges and papers of a family as text: family "solvers", "grids", "processes"
   or "adaptive", made from the tables that parse them. E_ARG for another family. */
DFL_API dfl_status dfl_describe(const char *family, char *buf, size_t cap, size_t *need);

#ifdef __cplusplus
}
#endif
#endif
