/* A folder of diffusers: three texts and the network's file, apart by zero bytes. What is accepted has
   a card that reads back as it was. */
#include "fuzz/fuzz.h"

#include <string.h>

#include "model/diffusers.h"

static const char *const files[] = {"scheduler/scheduler_config.json", "unet/config.json",
                                    "model_index.json", "unet/model.onnx"};
enum { FILES = sizeof files / sizeof files[0] };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    text json = {0}, warnings = {0};
    card c;
    for (int i = 0; i < FILES; i++) {
        const uint8_t *const end = i < FILES - 1 ? memchr(data, 0, size) : NULL;
        const size_t own = end ? (size_t)(end - data) : size;
        fuzz_put(files[i], data, own);
        data += own + (end != NULL);
        size -= own + (end != NULL);
    }
    bool found = false;
    fuzz_check(diffusers_is_folder(fuzz_folder(), &found) == DFL_OK && found,
               "its configuration is not found");
    const dfl_status made = diffusers_card(fuzz_folder(), &json, &warnings);
    fuzz_outcome(made, made == DFL_OK ? &json : NULL);
    const dfl_status read = card_read(fuzz_folder(), &c);
    fuzz_outcome(read, read == DFL_OK ? &c : NULL);
    fuzz_check(made == DFL_OK || read == made, "another failure for the whole folder");
    if (read == DFL_OK) {
        fuzz_print_card(&c);
        fuzz_drop("model.json");
        card_free(&c);
    }
    text_free(&json);
    text_free(&warnings);
    return 0;
}
