/* Between the two card files: the process of a card as option text. */
#ifndef DFL_CARD_TEXT_H
#define DFL_CARD_TEXT_H

#include "base/json.h"

/* The key "process", an object {"type": ..., key: value, ...} or option text itself, as option
   text in *out (to be freed). Whether the keys mean anything is for the process layer to say. */
dfl_status card_process_text(const json_in *top, char **out);

#endif
