/* Folders that diffusers and optimum write, read as cards:
 *
 *   FOLDER/scheduler/scheduler_config.json   process, prediction type, how it was sampled
 *   FOLDER/unet/model.onnx, config.json      the network; shape of a sample, classes
 *   FOLDER/model_index.json                  may be missing; name, and what else belongs to it
 *
 * The result is the text of a card, which then goes the way of every card. docs/foreign-models.md
 * says what becomes of each key. */
#ifndef DFL_DIFFUSERS_H
#define DFL_DIFFUSERS_H

#include "base/json.h"
#include "model/port.h"

/* Whether the folder has a scheduler's configuration. */
dfl_status diffusers_is_folder(const char *folder, bool *yes);

/* The text of its card in `out`, lines of warnings in `warnings`. E_COMBINATION for what cannot be
   sampled here, with the key and why; else as for any JSON file or network. */
dfl_status diffusers_card(const char *folder, text *out, text *warnings);

/* scheduler_config.json as members of a card, each begun with ", ": process, prediction_type,
   preconditioning, t_min and t_max, sampler and what it leaves out. The time map is left open after
   its type, scale and offset, because type and rank are the network's. */
dfl_status scheduler_read(const char *path, text *members, text *clock, text *warnings);

#endif
