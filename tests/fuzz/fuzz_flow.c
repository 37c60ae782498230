/* The card of a flow prior. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "prior/flow.h"

static void check_network(const flow_network *n) {
    fuzz_check(*n->file && *n->input && *n->output, "a name that is empty");
    fuzz_check(strlen(n->sha256) == DIGEST_HEX - 1, "no digest");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    flow_card c;
    const dfl_status status = flow_card_parse("input", (const char *)data, size, &c);
    fuzz_outcome(status, status == DFL_OK ? c.name : NULL);
    if (status != DFL_OK) return 0;
    fuzz_check(c.rank >= 1 && c.rank <= FLOW_RANK_MAX, "a rank that is not allowed");
    fuzz_check(c.d >= 1 && c.d <= PRIOR_DIM_MAX, "a number of numbers that is not allowed");
    fuzz_check(c.a > 0 && c.b > 0 && c.t > 0 && c.t <= 1, "a state that is none");
    fuzz_check(!c.has_range || c.range[0] < c.range[1], "a range that does not rise");
    fuzz_check(c.gate.error >= 0, "a standard error below 0");
    check_network(&c.sampler);
    check_network(&c.density);
    flow_card_free(&c);
    return 0;
}
