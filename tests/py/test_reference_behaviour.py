"""What the solvers of the data-space papers promise beyond stored numbers: few steps and clean ends work or are
refused with a reason, error ratios and orders that theory predicts, aliases, identities."""

import itertools
import math
import re
from collections import Counter

import numpy as np
import pytest

from library import Library, Refused

START = np.array([1.3 * math.sin(1.7 * i + 0.3) + 0.4 * math.cos(0.61 * i) for i in range(16)]).reshape(8, 2)
MIXTURE = ([0.5, 0.3, 0.2], [[1.2, -0.4], [-0.9, 0.8], [0.1, -1.5]], [[0.25, 0.4], [0.3, 0.2], [0.15, 0.35]])
NETWORKS = {"vp_linear": "epsilon sample v_prediction score", "vp_discrete": "epsilon v_prediction",
            "vp_cosine": "epsilon", "sub_vp": "epsilon", "ve": "epsilon", "edm": "sample",
            "flow": "flow_prediction sample epsilon"}


def variants(name, **options):
    """Every combination of the options' values."""
    for values in itertools.product(*(str(v).split("|") for v in options.values())):
        yield f"{name}:" + ",".join(f"{k}={v}" for k, v in zip(options, values))


EXPO = [*variants("dpm", algorithm_type="dpmsolver|dpmsolver++", method="multistep|singlestep|singlestep_fixed",
                  order="1|2|3", solver_type="midpoint|heun"), "dpm:order=3,corrected=1",
        *variants("dpm", method="singlestep|singlestep_fixed", order="1|2|3", eta="1", stages="even"),
        *variants("unipc", order="1|2|3", solver_type="bh1|bh2", predict_x0="0|1", lower_order_final="0|1"),
        *variants("sde_dpm", order="1|2")]
SCIRE = [*variants("scire", variant="v1|v2|ei", method="singlestep|singlestep_fixed|multistep", order="1|2|3",
                   profile="paper|main|sd", difference="rd|fd"),
         "scire:order=3,difference=fd,stage=consistent", "scire:m=0", "scire:m=7,profile=sd",
         "scire:method=multistep,profile=main,lower_order_final=0"]
DEIS = [*variants("deis", kind="tab|rhoab|lograb|ipndm", order="0|1|2|3"), "deis:order=5",
        "deis:quadrature=riemann", *variants("rhork", tableau="1euler|2heun|3kutta|3ral|3heun|3vdh|3ssprk|4rk")]
REST = ["ddim", "ddim:eta=1", "ddpm", "ddpm:variance_type=fixed_large", "euler", "euler:variable=t", "heun",
        "heun:variable=t", "heun:s_churn=10", "em",
        *variants("ddim_gmm", eta="0|0.5", kernel="ddim|rfim", K="2", offsets="rand|ortho",
                  covariance="diag|vub|full|rank1|iso", gmm_last="1")]
SOLVERS = {"expo": EXPO, "scire": SCIRE, "deis": DEIS, "rest": REST}


@pytest.fixture(scope="module")
def lib(program):
    return Library(program)


@pytest.fixture(scope="module")
def models(lib, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("mixtures"), {}
    for process, predictions in NETWORKS.items():
        for prediction in predictions.split():
            made[process, prediction] = lib.mixture(folder / f"{process}-{prediction}.json", *MIXTURE,
                                                    process={"type": process}, prediction_type=prediction)
    yield made
    for model in made.values():
        lib.free_model(model)


@pytest.fixture(scope="module")
def sample(lib, models):
    """sample(spec): (end points, evaluations) from START, or the refusal."""

    def call(spec, network=("vp_linear", "epsilon")):
        plan = lib.plan(models[network], spec)
        try:
            start = START * (50 if network[0] in ("ve", "edm") else 1)
            return lib.sample(models[network], plan, start)[1], lib.nfe(plan)
        finally:
            lib.free_plan(plan)

    return call


# ---- few steps, clean ends ------------------------------------------------------------------------------

# What may be said instead of a sample; the number is the least that works.
REASONS = [
    r"nfe=(?P<asked>\d+) is too small a budget for one step of \w+; the least is nfe=(?P<nfe>\d+)",
    r"multistep of order (?P<steps>\d) needs at least \d steps", r"order (?P<steps>\d) needs at least \d steps",
    r"the released .* file has no factor for so small a budget; take nfe=(?P<nfe>\d+) or more",
    r"the paper profile has no multistep", r"variant ei has orders 1 and 2, singlestep only",
    r"infinite at t_(start|end)=", r"rho is infinite", r"where the signal is 0", r"no limit at t_end=0",
    r"has a limit in data form with bh2 only", r"need a finite rho", r"does not determine", r"no finite",
    r"which t_end=0 does not allow", r"end above t_end=0", r"has no finite value there", r"a coefficient is not finite", r"infinite coefficient",
]


def reason(refusal):
    for pattern in REASONS:
        found = re.search(pattern, str(refusal))
        if found:
            return found
    raise AssertionError(f"no reason: {refusal}")


@pytest.mark.parametrize("family", SOLVERS)
def test_few_steps(sample, family):
    """1, 2, 3 steps or evaluations, to t_min and to 0, on every process: finite samples and the budget kept,
    or a reason; and where that is a number, it works."""
    told = Counter()
    for network in ((p, q) for p, list_ in NETWORKS.items() for q in list_.split()):
        for solver, amount, number, end in itertools.product(SOLVERS[family], ("steps", "nfe"), (1, 2, 3),
                                                             ("", " t_end=0")):
            spec = f"solver={solver} {amount}={number}{end}"
            try:
                found, nfe = sample(spec, network)
            except Refused as refusal:
                least = reason(refusal)
                told[least.re.pattern[:40]] += 1
                for unit, value in least.groupdict().items():
                    if unit == "asked" or value is None or network[0] != "vp_linear":
                        continue
                    try:
                        assert int(value) > number
                        sample(f"solver={solver} {unit}={value}{end}", network)
                    except Refused as other:
                        assert not reason(other).groupdict(), (spec, str(refusal), str(other))
                continue
            assert np.isfinite(found).all(), (spec, network)
            assert amount == "steps" or nfe <= number, (spec, network)
            told["runs"] += 1
    print(dict(told))
    assert told["runs"] > 300


AGREEING = ["ddim", "ddim:eta=1", "ddpm", "euler:variable=t", "heun", "heun:s_churn=5", "em", "deis",
            "deis:kind=ipndm", "deis:kind=lograb", "rhork", "scire", "scire:variant=v2", "scire:variant=ei",
            "scire:method=multistep,profile=main", "dpm", "dpm_2", "dpmpp_2s_a", "sde_dpm", "unipc",
            "unipc:predict_x0=0", "ddim_gmm:K=2", "rfim_gmm:K=2"]


@pytest.mark.parametrize("process", NETWORKS)
def test_predictions_agree(lib, tmp_path, process):
    """Whatever an exact network predicts, a sampler draws the same, with thresholding and denoising, too."""
    found = {}
    for prediction in ("epsilon", "sample", "v_prediction", "score", "flow_prediction"):
        model = lib.mixture(tmp_path / f"{prediction}.json", *MIXTURE, process={"type": process},
                            prediction_type=prediction)
        for solver, more in itertools.product(AGREEING, ("", " denoise=1", " thresholding=1 denoise=1")):
            plan = lib.plan(model, f"solver={solver} steps=4 t_start=0.9 t_end=0.01{more}")
            states = lib.sample(model, plan, START)[1]
            lib.free_plan(plan)
            assert np.isfinite(states).all(), (prediction, solver, more)
            apart = np.abs(states - found.setdefault((solver, more), states))
            assert apart.max() < 1e-9, (prediction, solver, more, apart.max())
        lib.free_model(model)
    assert len({states.tobytes() for states in found.values()}) > 2 * len(AGREEING)


def test_budgets(sample):
    """Solvers that promise to spend a budget do, whatever its remainder."""
    for solver in ("scire:order=2", "scire:order=3", "scire:variant=v2,order=3", "scire:profile=main,order=3",
                   "dpm:method=singlestep,order=3", "dpm:method=singlestep,order=2", "dpm", "unipc", "deis"):
        for nfe in range(6, 17):
            assert sample(f"solver={solver} nfe={nfe}")[1] == nfe
            assert sample(f"solver={solver} nfe={nfe} denoise=1")[1] == nfe


def mixture_eps(x, rho):
    """The exact noise prediction at x/a = x, b/a = rho."""
    weights, means, stds = (np.array(part) for part in MIXTURE)
    variance = stds**2 + rho * rho
    apart = x[:, None] - means
    log_r = np.log(weights) - 0.5 * (apart**2 / variance + np.log(variance)).sum(2)
    r = np.exp(log_r - log_r.max(1, keepdims=True))
    return rho * ((r / r.sum(1, keepdims=True))[:, :, None] * apart / variance).sum(1)


@pytest.mark.parametrize("name, data", [("dpmpp_2s_a", True), ("dpm_2_a", False)])
def test_ancestral(lib, models, name, data):
    """Second-order ancestral samplers against a loop in k-diffusion's variables x/a and sigma, which goes to
    sigma_down, adds sigma_up z, and lands on the prediction of a last step of order 1."""
    sigmas = [60.0, 20.0, 5.0, 1.0, 0.2, 0.0]
    plan = lib.plan(models["edm", "sample"],
                    f"solver={name} grid=list:times=[{','.join(repr(s / 80) for s in sigmas)}]")
    noise = np.random.default_rng(5).normal(size=(4, 8, 2))
    start = START * 60 / math.sqrt(1 + 60**2)
    states, found = lib.sample(models["edm", "sample"], plan, start, lambda kind, number: noise[number])
    assert lib.nfe(plan) == 9
    lib.free_plan(plan)
    x = START * 60
    for i, (sigma, to) in enumerate(zip(sigmas, sigmas[1:])):
        up = to * math.sqrt(1 - (to / sigma) ** 2)
        down = to * to / sigma
        eps = mixture_eps(x, sigma)
        if down == 0:
            x = x - sigma * eps
            continue
        middle = math.sqrt(sigma * down)
        if data:
            stage = middle / sigma * x + (1 - middle / sigma) * (x - sigma * eps)
            x = down / sigma * x + (1 - down / sigma) * (stage - middle * mixture_eps(stage, middle))
        else:
            x = x + (down - sigma) * mixture_eps(x + (middle - sigma) * eps, middle)
        x = x + up * noise[i]
        assert np.abs(states[i + 1] * math.sqrt(1 + to * to) - x).max() < 1e-11 * sigma
    assert np.abs(found - x).max() < 1e-11


# ---- orders and ratios ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def error(sample):
    """error(solver, steps, grid): end points minus the flow's own."""
    truth = sample("solver=rhork:tableau=4rk grid=logsnr steps=5000")[0]

    def call(solver, steps, grid="power:kappa=2", amount="steps"):
        return sample(f"solver={solver} grid={grid} {amount}={steps}")[0] - truth

    return call


@pytest.mark.parametrize("variant, order, ratio", [("v1", 2, -1), ("v1", 3, -1.5), ("v2", 2, -1)])
def test_scire_error_ratios(error, variant, order, ratio):
    """At equal evaluations the error of recursive differences with phi = 2/3 tends to -1 (order 2) and -1.5
    (order 3) times DDIM's: a first-order method, against the paper's theorem 3.2."""
    ratios = []
    for nfe in (384, 1536):
        ddim = error("ddim", nfe, "nsr", "nfe")
        scire = error(f"scire:variant={variant},order={order},method=singlestep_fixed", nfe, "nsr", "nfe")
        ratios.append(float((scire * ddim).sum() / (ddim * ddim).sum()))
    print(f"{variant}, order {order}: {ratios[0]:.3f}, {ratios[1]:.3f}; theory {ratio}")
    assert abs(ratios[1] - ratio) < 0.05 * abs(ratio) and abs(ratios[1] - ratio) < abs(ratios[0] - ratio)


ORDERS = [  # solver, order, from how many steps
    ("deis:kind=ipndm,order=0", 1, 160), ("deis:kind=ipndm,order=1", 2, 320), ("deis:kind=ipndm,order=3", 2, 320),
    ("scire:order=2,difference=fd", 2, 160), ("scire:order=3,difference=fd", 2, 160),
    ("scire:order=3,difference=fd,stage=consistent", 3, 160),
    ("scire:variant=v2,order=3,difference=fd,stage=consistent", 3, 160),
    ("scire:variant=ei,difference=fd", 2, 160), ("scire:variant=ei", 1, 160),
    ("scire:order=3", 1, 320), ("scire:method=multistep,profile=main", 1, 640),
    ("scire:method=multistep,profile=main,difference=fd", 2, 320),
    ("dpm:order=3", 2, 160), ("dpm:order=3,corrected=1", 3, 160), ("dpm:order=2", 2, 160),
    ("dpm:algorithm_type=dpmsolver,order=3,corrected=1", 3, 160),
    ("dpm:method=singlestep_fixed,order=3", 3, 80),
    ("unipc:order=1", 2, 160), ("unipc:order=2,lower_order_final=0", 3, 160),
    ("unipc:order=3,lower_order_final=0", 4, 80), ("unipc:order=3", 2, 160),
]


def rows_of_pages(root):
    """Table rows "| `solver` | grid | errors ... |" of docs/solvers/, with the evaluations of their heads."""
    for page in sorted((root / "docs/solvers").glob("*.md")):
        budgets = []
        for line in page.read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells[:2] == ["solver", "grid"]:
                budgets = [int(cell) for cell in cells[2:]]
            elif budgets and line.startswith("| `") and len(cells) == 2 + len(budgets):
                yield page.name, cells[0].strip("`"), cells[1], list(zip(budgets, cells[2:]))


def test_pages(root, error):
    """The errors that the pages print are what is measured."""
    count, wrong = 0, []
    for page, solver, grid, cells in rows_of_pages(root):
        for nfe, printed in cells:
            size = float(np.sqrt((error(solver, nfe, grid, "nfe") ** 2).mean()))
            count += 1
            if not math.isclose(size, float(printed), rel_tol=0.06):
                wrong.append((page, solver, grid, nfe, printed, f"{size:.1e}"))
    assert not wrong, wrong
    assert count >= 150


@pytest.mark.parametrize("solver, order, steps", ORDERS)
def test_orders(error, solver, order, steps):
    """UniPC is of order p + 1 only without its uncorrected last steps, released DPM++ 3M of order 2."""
    sizes = [float(np.sqrt((error(solver, n) ** 2).mean())) for n in (steps, 2 * steps)]
    found = math.log2(sizes[0] / sizes[1])
    print(f"{solver}: errors {sizes[0]:.2e}, {sizes[1]:.2e}, order {found:.2f}")
    assert abs(found - order) < 0.2


def test_phi(lib, models):
    """The factor on m1 - m0 is 1/phi1(m), phi1(m) = sum (-1)^(k-1)/k!."""

    def weight(m):
        plan = lib.plan(models["vp_linear", "epsilon"], f"solver=scire:order=2,m={m} steps=1")
        rows = lib.json(plan)["rows"]
        lib.free_plan(plan)
        return [row for row in rows if row["op"] == "LIN"][-1]["c"][-1]

    for m in (3, 4, 5, 8, 20):
        phi = sum((-1) ** (k - 1) / math.factorial(k) for k in range(1, m + 1))
        assert math.isclose(weight(m) * phi, weight(3) * 2 / 3, rel_tol=1e-14)
    assert math.isclose(weight(0) * (1 - math.exp(-1)), weight(3) * 2 / 3, rel_tol=1e-14)


SAME = [("ddim", "deis:order=0"), ("ddim", "deis:kind=rhoab,order=0"), ("ddim", "rhork:tableau=1euler"),
        ("ddim", "euler"), ("ddim", "scire:order=1"), ("ddim", "scire:variant=v2,order=1"), ("ddim", "dpm:order=1"),
        ("ddim", "dpm:order=1,algorithm_type=dpmsolver"),
        ("ddim:eta=0.6", "dpm:order=1,method=singlestep,eta=0.6"),
        ("ddim:eta=1", "dpm:algorithm_type=dpmsolver,order=1,method=singlestep,eta=1"), ("heun", "rhork:tableau=2heun"),
        ("scire:variant=ei,difference=fd,method=singlestep_fixed",
         "dpm:algorithm_type=dpmsolver,order=2,method=singlestep_fixed,solver_type=heun")]


@pytest.mark.parametrize("one, other", SAME)
def test_identities(sample, one, other):
    for end in ("t_end=0.01", "t_end=0.001"):
        apart = np.abs(sample(f"solver={one} grid=logsnr steps=7 {end}")[0]
                       - sample(f"solver={other} grid=logsnr steps=7 {end}")[0]).max()
        assert apart < 1e-12


@pytest.mark.parametrize("eta", [0.5, 1])
def test_ancestral_from_noise_alone(sample, eta):
    """1e-9 of the noise is left: a step like any other, not one to clean data."""
    one, other = (sample(f"solver={solver} grid=list:times=[0.999999999,0.5]", ("flow", "sample"))[0]
                  for solver in (f"ddim:eta={eta}", f"dpm:order=1,method=singlestep,eta={eta}"))
    assert np.abs(one - other).max() < 1e-12


def test_landing_on_clean_data(sample):
    """dpm to t = 0: as one step less, and the prediction there."""
    times = "1,0.7,0.4,0.2,0.05"
    for solver in ("dpm:order=2", "dpm:method=singlestep,order=2", "dpm:method=singlestep_fixed,order=3",
                   "dpm:algorithm_type=dpmsolver,method=singlestep,order=3", "dpm:order=3", "dpm:algorithm_type=dpmsolver,order=2", "unipc:order=2"):
        whole = sample(f"solver={solver},lower_order_final=0 grid=list:times=[{times},0]")[0]
        denoised = sample(f"solver={solver},lower_order_final=0 grid=list:times=[{times}] denoise=1")[0]
        if solver.startswith("dpm"):  # UniPC would correct x first
            assert np.abs(whole - denoised).max() < 1e-13
        assert np.isfinite(whole).all()


ALIASES = {
    "dpmpp_2m": "dpm:order=2", "dpmpp_3m": "dpm:order=3", "dpmpp_3m_corrected": "dpm:order=3,corrected=1",
    "dpmpp_2s": "dpm:order=2,method=singlestep,stages=even", "dpmpp_2s_a": "dpm:order=2,method=singlestep,eta=1",
    "dpmpp_2s_ancestral": "dpm:order=2,method=singlestep,eta=1",
    "dpm_1": "dpm:algorithm_type=dpmsolver,order=1",
    "dpm_2": "dpm:algorithm_type=dpmsolver,order=2,method=singlestep,stages=even",
    "dpm_2_a": "dpm:algorithm_type=dpmsolver,order=2,method=singlestep,eta=1",
    "dpm_2_ancestral": "dpm:algorithm_type=dpmsolver,order=2,method=singlestep,eta=1",
    "dpm_3": "dpm:algorithm_type=dpmsolver,order=3,method=singlestep,stages=even",
    "dpm_fast": "dpm:algorithm_type=dpmsolver,order=3,method=singlestep",
    "dpm_solver_fast": "dpm:algorithm_type=dpmsolver,order=3,method=singlestep", "dpmpp_2m_sde": "sde_dpm:order=2",
    "uni_pc": "unipc", "uni_pc_bh1": "unipc:solver_type=bh1", "uni_pc_bh2": "unipc:solver_type=bh2",
    "euler_a": "ddim:eta=1", "euler_ancestral": "ddim:eta=1", "lms": "deis:kind=rhoab,order=3",
    "ipndm": "deis:kind=ipndm", "ipndm_v": "deis:kind=rhoab,order=3", "t_ab": "deis:kind=tab",
    "tab_deis": "deis:kind=tab", "tab1": "deis:kind=tab,order=1", "tab2": "deis:kind=tab,order=2",
    "tab3": "deis:kind=tab,order=3", "rho_ab": "deis:kind=rhoab", "rhoab_deis": "deis:kind=rhoab",
    "rho_rk": "rhork", "rhork_deis": "rhork", "res_2m": "dpm:order=2,solver_type=heun",
    "res_multistep": "dpm:order=2,solver_type=heun",
    "res_2s": "dpm:order=2,method=singlestep,solver_type=heun,stages=even",
    "exp_rk2": "dpm:order=2,method=singlestep,solver_type=heun,stages=even",
    "exp_rk3": "dpm:order=3,method=singlestep,solver_type=heun,stages=even", "scire_v1": "scire:variant=v1",
    "scire_v1_2": "scire:variant=v1,order=2,method=singlestep_fixed",
    "scire_v1_3": "scire:variant=v1,order=3,method=singlestep_fixed", "scire_v1_agile": "scire:variant=v1,order=3",
    "scire_v1_2m": "scire:variant=v1,order=2,method=multistep,profile=main",
    "scire_v1_3m": "scire:variant=v1,order=3,method=multistep,profile=main", "scire_v2": "scire:variant=v2",
    "scire++": "scire:variant=v2", "scire_v2_2": "scire:variant=v2,order=2,method=singlestep_fixed",
    "scire_v2_3": "scire:variant=v2,order=3,method=singlestep_fixed",
    "scire_v2_2m": "scire:variant=v2,order=2,method=multistep,profile=main",
    "scire_v2_3m": "scire:variant=v2,order=3,method=multistep,profile=main", "scirei_2": "scire:variant=ei",
    "rfim": "ddim_gmm:kernel=rfim,K=1", "rfim_gmm": "ddim_gmm:kernel=rfim", "euler_maruyama": "em"}


def test_aliases(root, sample):
    """Each means what it says, and takes more options."""
    for alias, meaning in ALIASES.items():
        fit = "K=2" if alias == "rfim_gmm" else ""  # as many directions as there are
        same = [sample(f"solver={name}{',' * (':' in name) or ':'}{fit}".rstrip(",:") + " steps=8")[0]
                for name in (alias, meaning)]
        assert np.array_equal(*same), alias
    assert np.array_equal(sample("solver=dpmpp_2m:solver_type=heun steps=8")[0],
                          sample("solver=dpm:order=2,solver_type=heun steps=8")[0])
    for typed, name in (("DPM++_2M", "dpmpp_2m"), ("DPM++2M-SDE", "dpmpp_2m_sde"), ("Euler-a", "euler_a"),
                        ("UniPC", "unipc"), ("DPM-Solver-fast", "dpm_solver_fast"), ("DEIS", "deis"),
                        ("dpm++2m", "dpmpp_2m"), ("DPM++_2S_a", "dpmpp_2s_ancestral"), ("dpm2", "dpm_2"),
                        ("SciRE_v1-2m", "scire_v1_2m"), ("SciRE-V2-3m", "scire_v2_3m"), ("tAB3", "tab3"),
                        ("tAB-DEIS", "t_ab"), ("rhoAB", "rho_ab"), ("rhoRK", "rhork"), ("RES_2S", "res_2s"),
                        ("scire:order=3,method=singlestep_agile", "scire:order=3")):
        assert np.array_equal(sample(f"solver={typed} steps=8")[0], sample(f"solver={name} steps=8")[0]), typed
    source = (root / "src/solver/solver.c").read_text()
    listed = re.findall(r'\{"([^"]+)", "[^"]+"\}', source[source.index("aliases[]"):])
    assert set(listed) == set(ALIASES)
