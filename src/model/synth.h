/*
 * synth.h - models that need no download: the shapes of GPT-2 and 3, Llama and Mixtral with random weights, to measure
 * a device with.
 *
 * "synth:PRESET[:TYPE[:POSITIONS]]" names a GGUF file that lies nowhere: its header, with a vocabulary of bytes and
 * made-up words, is written in memory, and the bytes of its tensors are made where they are read, from a seed and the
 * place in the file. So everything that knows a file (binding, planning, shards, loading again after a loss of the
 * device) serves a synthetic model too, and the weights depend on nothing but the name.
 */
#ifndef GAB_MODEL_SYNTH_H
#define GAB_MODEL_SYNTH_H

#include "format/gguf.h"

/* "synth:..."; a file of such a name is "./synth:...". */
bool gab_synth_is_name(const char *model_path);

/* ARGUMENT, listing presets and types, when the name is none of them. Any case is the same. */
gab_status gab_synth_open(const char *name, const gab_log *log, gab_gguf **gguf);

#endif
