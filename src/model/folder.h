/*
 * folder.h - opens the folder of a Hugging Face model: config.json, *.safetensors (one, or several with
 * model.safetensors.index.json), generation_config.json. Nothing is converted beforehand: what comes out is the
 * gab_gguf that a conversion would have made, with GGUF's names and keys (hf_names.h, hf_config.h), whose rows come
 * from the safetensors files where they are read (format/gguf_make.h).
 *
 * A model of an unknown family opens, too, with the names of its own files: it can be listed, not run. The vocabulary
 * is not in it (tokenizer.json is text/'s), the template of conversations is (tokenizer.chat_template).
 */
#ifndef GAB_MODEL_FOLDER_H
#define GAB_MODEL_FOLDER_H

#include "format/gguf.h"

gab_status gab_folder_open(const char *path, const gab_log *log, gab_gguf **gguf);

#endif
