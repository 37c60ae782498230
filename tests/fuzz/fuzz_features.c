/* The card of a feature network. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "eval/features_card.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    features_card c;
    char hex[DIGEST_HEX];
    const dfl_status status = features_card_parse("input", (const char *)data, size, &c);
    fuzz_outcome(status, status == DFL_OK ? c.name : NULL);
    if (status != DFL_OK) return 0;
    fuzz_check(c.width >= 1 && c.width <= FEATURES_MAX, "a width that is not allowed");
    fuzz_check((c.classes > 0) == (c.logits != NULL), "logits without classes, or the reverse");
    fuzz_check(c.shape[0] == 1 || c.shape[0] == 3, "channels that are not allowed");
    fuzz_check(c.range[0] < c.range[1], "a range that does not rise");
    fuzz_check(features_card_digest(&c, hex) == DFL_OK && strlen(hex) == 64, "no digest");
    features_card_free(&c);
    return 0;
}
