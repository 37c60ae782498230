/* The formulas of all grids.
 *
 *   uniform          t_i linear
 *   power(kappa)     t_i^(1/kappa) linear (DEIS, arXiv 2204.13902: kappa 2 is its quadratic grid)
 *   quadratic        t_i = t_N + (t_0 - t_N)(1 - i/N)^2 (PSLD, arXiv 2303.01748)
 *   logsnr           lambda_i linear (DPM-Solver, arXiv 2206.00927)
 *   exponential      the same, as k-diffusion has it: with t_end = 0 down to the model's t_min, and
 *                    one last step to 0
 *   karras(rho)      sigma_i^(1/rho) linear, sigma = b/a (Karras et al., arXiv 2206.00364, (5));
 *                    with t_end = 0 down to the model's t_min, and one last step to 0, as there
 *   nsr(k)           log(sigma_i + k sigma_N) linear (SciRE-Solver, arXiv 2308.07896)
 *   beta(alpha, beta) sigma_i = sigma_N + q(1 - i/N)(sigma_0 - sigma_N), q the quantiles of that
 *                    distribution (diffusers' use_beta_sigmas; ComfyUI's beta has them in the time);
 *                    last step as in karras
 *   kl_optimal       arctan(sigma_i/s) linear, for data of standard deviation s (Sabour et al., Align
 *                    Your Steps, arXiv 2404.14507, for Gaussian data); last step as in karras
 *   leading, linspace, trailing
 *                    the index grids of the discrete samplers (Lin et al., arXiv 2305.08891, table
 *                    2), of an N-step table: index i is t = (i + 1)/N. endpoint=0 is the form that
 *                    diffusers' multistep schedulers have: of one index more than there are steps
 *                    the last, 0, is left out
 *   flow_match       diffusers' FlowMatchEuler: t linear from 1 to S(1/N), S(t) = s t/(1 + (s - 1) t)
 *                    with shift s, then S of all of it, then 0
 *   list, file       the times themselves */
#include "grid/grid.h"

#include <math.h>

static const opt_row power_options[] = {
    {"kappa", OPT_REAL, "2", 0.1, 20, NULL, "exponent; 1 is uniform, 2 quadratic"},
    {0},
};

static const opt_row karras_options[] = {
    {"rho", OPT_REAL, "7", 0.5, 100, NULL, "exponent; large values approach logsnr"},
    {0},
};

static const opt_row nsr_options[] = {
    {"k", OPT_REAL, "3.1", 0, 1e6, NULL, "shift in units of the last sigma; 0 is logsnr"},
    {0},
};

static const opt_row beta_options[] = {
    {"alpha", OPT_REAL, "0.6", 0.05, 20, NULL, "below 1: more steps near the last sigma"},
    {"beta", OPT_REAL, "0.6", 0.05, 20, NULL, "below 1: more steps near the first sigma"},
    {0},
};

static const opt_row kl_optimal_options[] = {
    {"sigma_data", OPT_REAL, "1", 1e-3, 1e3, NULL, "standard deviation of the data"},
    {0},
};

#define LENGTH_OPTION                                                                              \
    { "num_train_timesteps", OPT_INT, "1000", 2, 100000, NULL, "length N of the table" }
#define ENDPOINT_OPTION                                                                            \
    { "endpoint", OPT_BOOL, "1", 0, 0, NULL, "0: one index more, and the last left out" }

static const opt_row trailing_options[] = {LENGTH_OPTION, {0}};

static const opt_row linspace_options[] = {
    LENGTH_OPTION,
    ENDPOINT_OPTION,
    {"rounded", OPT_BOOL, "1", 0, 0, NULL, "to whole indices"},
    {0},
};

static const opt_row leading_options[] = {
    LENGTH_OPTION,
    ENDPOINT_OPTION,
    {"steps_offset", OPT_INT, "0", 0, 1000, NULL, "added to every index"},
    {0},
};

static const opt_row flow_match_options[] = {
    LENGTH_OPTION,
    {"shift", OPT_REAL, "1", 0.01, 100, NULL, "above 1: more steps where there is noise"},
    {0},
};

static const opt_row file_options[] = {
    {"path", OPT_TEXT, NULL, 0, 0, NULL, "file of falling times, or of sigmas and the like"},
    {"num_train_timesteps", OPT_INT, "1000", 2, 100000, NULL, "length N of a table of timesteps"},
    {0},
};

static const opt_row list_options[] = {
    {"times", OPT_LIST, NULL, 0, 0, NULL, "decreasing times, t_start first and t_end last"},
    {0},
};

static double uniform_time(const process *p, const opts *o, double start, double end, double w) {
    (void)p, (void)o;
    return start + w * (end - start);
}

static double power_time(const process *p, const opts *o, double start, double end, double w) {
    (void)p;
    const double kappa = opt_real(o, "kappa");
    return pow((1 - w) * pow(start, 1 / kappa) + w * pow(end, 1 / kappa), kappa);
}

static double logsnr_time(const process *p, const opts *o, double start, double end, double w) {
    (void)o;
    const double first = process_at(p, start).lambda, last = process_at(p, end).lambda;
    return process_time_of_rho(p, exp(-(first + w * (last - first))));
}

static double quadratic_time(const process *p, const opts *o, double start, double end, double w) {
    (void)p, (void)o;
    return end + (start - end) * (1 - w) * (1 - w);
}

/* From sigma_0 at the start to sigma_1 at the end. */
static double karras_time(const process *p, const opts *o, double start, double end, double w) {
    const double rho = opt_real(o, "rho");
    const double first = pow(process_at(p, start).rho, 1 / rho);
    const double last = pow(process_at(p, end).rho, 1 / rho);
    return process_time_of_rho(p, pow(first + w * (last - first), rho));
}

static double nsr_time(const process *p, const opts *o, double start, double end, double w) {
    const double last = process_at(p, end).rho, shift = opt_real(o, "k") * last;
    const double from = log(process_at(p, start).rho + shift), to = log(last + shift);
    return process_time_of_rho(p, fmax(last, exp(from + w * (to - from)) - shift));
}

static double beta_time(const process *p, const opts *o, double start, double end, double w) {
    const double first = process_at(p, start).rho, last = process_at(p, end).rho;
    const double part = beta_quantile(1 - w, opt_real(o, "alpha"), opt_real(o, "beta"));
    return process_time_of_rho(p, last + part * (first - last));
}

static double kl_optimal_time(const process *p, const opts *o, double start, double end, double w) {
    const double data = opt_real(o, "sigma_data");
    const double first = atan(process_at(p, start).rho / data);
    const double last = atan(process_at(p, end).rho / data);
    return process_time_of_rho(p, data * tan(first + w * (last - first)));
}

/* Index grids: time number i of `steps`, i < steps; the last time is t_end. */
static double leading_index(const opts *o, int i, int steps) {
    const int dropped = opt_bool(o, "endpoint") ? 0 : 1;
    const long long stride = opt_int(o, "num_train_timesteps") / (steps + dropped);
    return (double)((steps + dropped - 1 - i) * stride + opt_int(o, "steps_offset"));
}

static double linspace_index(const opts *o, int i, int steps) {
    const double last = (double)opt_int(o, "num_train_timesteps") - 1;
    const int gaps = opt_bool(o, "endpoint") ? steps - 1 : steps;
    /* Multiples of a step, as NumPy's linspace makes them, for the same roundings of halves. */
    const double index = gaps == 0 ? 0 : i == 0 ? last : (gaps - i) * (last / gaps);
    return opt_bool(o, "rounded") ? nearbyint(index) : index;
}

static double flow_match_index(const opts *o, int i, int steps) {
    const double n = (double)opt_int(o, "num_train_timesteps"), shift = opt_real(o, "shift");
    const double w = steps > 1 ? (double)i / (steps - 1) : 0;
    return n * netform_shifted(1 + w * (netform_shifted(1 / n, shift) - 1), shift) - 1;
}

static double trailing_index(const opts *o, int i, int steps) {
    const double n = (double)opt_int(o, "num_train_timesteps");
    return nearbyint(n - i * n / steps) - 1;
}

static const grid_row karras = {
    .is = {"karras", "sigma^(1/rho) evenly spaced", "arXiv:2206.00364 eq. (5)", karras_options},
    .time = karras_time,
    .in_sigma = true,
    .reaches_zero = true};
static const grid_row nsr = {
    .is = {"nsr", "log(sigma + k sigma_end) evenly spaced", "arXiv:2308.07896", nsr_options},
    .time = nsr_time,
    .in_sigma = true};
static const grid_row beta = {
    .is = {"beta", "sigma at the quantiles of a beta distribution", "diffusers", beta_options},
    .time = beta_time,
    .in_sigma = true,
    .reaches_zero = true};
static const grid_row kl_optimal = {
    .is = {"kl_optimal", "arctan(sigma) evenly spaced", "arXiv:2404.14507", kl_optimal_options},
    .time = kl_optimal_time,
    .in_sigma = true,
    .reaches_zero = true};
static const grid_row leading = {.is = {"leading", "every (N/steps)-th index of a table, from 0",
                                        "arXiv:2305.08891 table 2", leading_options},
                                 .index = leading_index,
                                 .reaches_zero = true};
static const grid_row linspace = {.is = {"linspace", "indices 0 to N - 1 evenly spaced, rounded",
                                         "arXiv:2305.08891 table 2", linspace_options},
                                  .index = linspace_index,
                                  .reaches_zero = true};
static const grid_row trailing = {.is = {"trailing", "every (N/steps)-th index of a table, from N",
                                         "arXiv:2305.08891 table 2", trailing_options},
                                  .index = trailing_index,
                                  .reaches_zero = true};
static const grid_row file = {.is = {"file", "times read from a file", "", file_options},
                              .reaches_zero = true};
static const grid_row uniform = {.is = {"uniform", "times evenly spaced", "", family_no_options},
                                 .time = uniform_time,
                                 .reaches_zero = true};
static const grid_row power = {
    .is = {"power", "t^(1/kappa) evenly spaced", "arXiv:2204.13902", power_options},
    .time = power_time,
    .reaches_zero = true};
static const grid_row quadratic = {.is = {"quadratic", "t - t_end quadratic, PSLD's stride",
                                          "arXiv:2303.01748", family_no_options},
                                   .time = quadratic_time,
                                   .reaches_zero = true};
static const grid_row logsnr = {
    .is = {"logsnr", "log-SNR evenly spaced", "arXiv:2206.00927", family_no_options},
    .time = logsnr_time,
    .in_sigma = true};
static const grid_row exponential = {.is = {"exponential",
                                            "log sigma evenly spaced, and a last step to 0",
                                            "k-diffusion", family_no_options},
                                     .time = logsnr_time,
                                     .in_sigma = true,
                                     .reaches_zero = true};
static const grid_row flow_match = {.is = {"flow_match",
                                           "even times, shifted, and a last step to 0", "diffusers",
                                           flow_match_options},
                                    .index = flow_match_index,
                                    .reaches_zero = true};
static const grid_row list = {.is = {"list", "times given one by one", "", list_options},
                              .reaches_zero = true};

static const family_row *const rows[] = {&uniform.is,     &power.is,   &quadratic.is, &logsnr.is,
                                         &exponential.is, &karras.is,  &nsr.is,       &beta.is,
                                         &kl_optimal.is,  &leading.is, &linspace.is,  &trailing.is,
                                         &flow_match.is,  &list.is,    &file.is};

/* Names of ComfyUI, DPM-Solver and diff-sampler that mean exactly one of these. */
static const family_alias aliases[] = {
    {"normal", "linspace:rounded=0"},
    {"discrete", "linspace:rounded=0"},
    {"sgm_uniform", "linspace:endpoint=0,rounded=0"},
    {"polynomial", "karras"},
    {"time_uniform", "uniform"},
    {"time_quadratic", "power:kappa=2"},
    {"ddim_uniform", "leading:steps_offset=1"},
};

const family grid_family = {.singular = "grid",
                            .rows = rows,
                            .n = sizeof rows / sizeof rows[0],
                            .aliases = aliases,
                            .naliases = sizeof aliases / sizeof aliases[0]};
