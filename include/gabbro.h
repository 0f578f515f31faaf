/*
 * gabbro.h - the public interface of libgabbro: run a GPT-family language model on any Vulkan device.
 *
 * Three kinds of object:
 *
 *   gab_tokenizer   the vocabulary of a model; needs no device. Immutable, safe to share between threads.
 *   gab_engine      a device with a model on it. Its configuration never changes; safe to share between threads. Owns
 *                   one scheduler thread, which forms the steps (batches) of all its sessions.
 *   gab_session     one conversation: its token history, its KV pages, its sampler. Many per engine. Its functions may
 *                   be called from any thread, one caller at a time for feed / next / logits; cancel at any time.
 *
 * Conventions. Functions that can fail return gab_status; outputs are written only on GAB_OK unless said otherwise.
 * What went wrong is said once, in a sentence that names the file, field, value and remedy, to the log callback, and
 * kept for gab_last_error() of the calling thread. Structs of options come from their gab_*_default() function, which
 * fills struct_size: a struct of another size, from another version of this header, is refused. Destroy functions take
 * the address of the pointer, accept NULL, and set it to NULL. The library never prints, exits, or aborts on input. All
 * text is UTF-8.
 */
#ifndef GABBRO_H
#define GABBRO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what is public. */
#define GAB_API

#define GAB_VERSION_MAJOR 0
#define GAB_VERSION_MINOR 1
#define GAB_VERSION_PATCH 0

/* ---- status, log, progress ---- */

/* X(name, text): the one list of results. */
#define GAB_STATUS_LIST(X)                                                                                             \
    X(OK, "ok")                                                                                                        \
    X(ERROR_ARGUMENT, "invalid argument")                                                                              \
    X(ERROR_FILE, "file cannot be read or written")                                                                    \
    X(ERROR_FORMAT, "file is damaged or not of the expected format")                                                   \
    X(ERROR_UNSUPPORTED, "not supported")                                                                              \
    X(ERROR_HOST_MEMORY, "out of host memory")                                                                         \
    X(ERROR_DEVICE_MEMORY, "does not fit the device")                                                                  \
    X(ERROR_NO_DEVICE, "no such Vulkan device")                                                                        \
    X(ERROR_DEVICE_LOST, "device lost")                                                                                \
    X(ERROR_VULKAN, "Vulkan call failed")                                                                              \
    X(ERROR_LIMIT, "limit reached")                                                                                    \
    X(ERROR_CONTEXT_FULL, "context is full")                                                                           \
    X(ERROR_CANCELLED, "cancelled")

typedef enum gab_status {
#define GAB_STATUS_ENUM(name, text) GAB_##name,
    GAB_STATUS_LIST(GAB_STATUS_ENUM)
#undef GAB_STATUS_ENUM
} gab_status;

/* The status in words, never NULL. */
GAB_API const char *gab_status_text(gab_status status);

/* The sentence of the last failure seen by the calling thread ("" if none). Valid until the thread's next call. */
GAB_API const char *gab_last_error(void);

/* "0.1.0" */
GAB_API const char *gab_version(void);

/* What this build lacks that would make some devices faster, as text to go after "this build lacks"; "": nothing. */
GAB_API const char *gab_build_lacks(void);

typedef enum gab_log_level { GAB_LOG_ERROR, GAB_LOG_WARNING, GAB_LOG_INFO, GAB_LOG_DEBUG } gab_log_level;

/* Called with one finished line, without a newline. May come from any thread, never from two at once. It must not call
 * functions of this library. */
typedef void (*gab_log_fn)(void *user, gab_log_level level, const char *message);

/* Long work: `stage` is a short phrase ("loading weights"), done of total in bytes or items. From the calling thread.
 */
typedef void (*gab_progress_fn)(void *user, const char *stage, uint64_t done, uint64_t total);

/* ---- devices ---- */

typedef enum gab_device_kind {
    GAB_DEVICE_OTHER,
    GAB_DEVICE_CPU,
    GAB_DEVICE_VIRTUAL,
    GAB_DEVICE_INTEGRATED,
    GAB_DEVICE_DISCRETE,
} gab_device_kind;

typedef struct gab_device_info {
    uint32_t index;         /* what -d takes */
    char name[256];         /* as the driver says it */
    char driver[256];       /* driver name and version */
    char uuid[37];          /* device UUID, 8-4-4-4-12 hexadecimal digits */
    gab_device_kind kind;   /* */
    uint32_t api_version;   /* Vulkan version, VK_MAKE_API_VERSION */
    uint64_t memory_total;  /* bytes of the largest device-local heap */
    uint64_t memory_free;   /* bytes the driver says are free there; equal to memory_total when it says nothing */
    uint32_t subgroup_size; /* invocations */
    bool unified_memory;    /* weights can be written in place, without a staging copy */
    bool usable;            /* Vulkan 1.2 with a compute queue */
    bool is_default;        /* what gab_engine_create takes without a name */
} gab_device_info;

/* All Vulkan devices, in loader order. *devices is to be freed with gab_device_list_free. Fails with NO_DEVICE when
 * there is no Vulkan loader or no device. Thread safe. */
GAB_API gab_status gab_device_list(gab_device_info **devices, size_t *n_device, gab_log_fn log, void *log_user);
GAB_API void gab_device_list_free(gab_device_info **devices);
GAB_API const char *gab_device_kind_text(gab_device_kind kind);

/* ---- tokenizer ---- */

typedef struct gab_tokenizer gab_tokenizer;
typedef struct gab_text_stream gab_text_stream;

/* Reads the vocabulary of a GGUF file, which may hold nothing else, or of a Hugging Face tokenizer.json or a folder
 * with one, or makes that of a synthetic model (model_path below). */
GAB_API gab_status gab_tokenizer_open(const char *model_path, gab_log_fn log, void *log_user,
                                      gab_tokenizer **tokenizer);
GAB_API void gab_tokenizer_destroy(gab_tokenizer **tokenizer);

GAB_API uint32_t gab_tokenizer_n_vocab(const gab_tokenizer *tokenizer);
GAB_API int32_t gab_tokenizer_bos(const gab_tokenizer *tokenizer); /* -1: none */
GAB_API int32_t gab_tokenizer_eos(const gab_tokenizer *tokenizer); /* -1: none */

/* True when a model ends its answer with this token (end of text, end of turn). */
GAB_API bool gab_tokenizer_is_end(const gab_tokenizer *tokenizer, int32_t token);

/* Text to tokens. `text` need not be zero-terminated and may hold any bytes; with parse_special, the spelled-out
 * special tokens of the vocabulary ("<|endoftext|>") become single tokens. *tokens is malloc'ed, to be freed with
 * gab_tokens_free. add_bos puts the start token in front, and the end token behind, where the file asks for them. */
GAB_API gab_status gab_tokenizer_encode(const gab_tokenizer *tokenizer, const char *text, size_t n_byte, bool add_bos,
                                        bool parse_special, int32_t **tokens, size_t *n_token);
GAB_API void gab_tokens_free(int32_t **tokens);

/* The bytes of one token: pointer into the tokenizer, not zero-terminated, possibly part of a UTF-8 character. NULL for
 * an id outside the vocabulary. Control tokens have no bytes unless with_special. */
GAB_API const char *gab_tokenizer_piece(const gab_tokenizer *tokenizer, int32_t token, bool with_special,
                                        size_t *n_byte);

/* A stream of tokens to UTF-8 text (U+0000 comes out as U+FFFD, since the text is zero-terminated): holds back the
 * bytes of a character until it is whole; bytes that can never become one come out as U+FFFD. push returns text owned
 * by the stream, zero-terminated, valid until the next call; finish returns what is left. A new stream begins a text: a
 * SentencePiece vocabulary puts a space in front of the first word that is no part of it, and that is left out.
 * continue says, before the first push, that the tokens go on from text that is there already. */
GAB_API gab_status gab_text_stream_create(const gab_tokenizer *tokenizer, gab_text_stream **stream);
GAB_API void gab_text_stream_destroy(gab_text_stream **stream);
GAB_API void gab_text_stream_continue(gab_text_stream *stream);
GAB_API const char *gab_text_stream_push(gab_text_stream *stream, int32_t token);
GAB_API const char *gab_text_stream_finish(gab_text_stream *stream);

/* Ends the text before a stop string, of several the one that is whole first: what may be the beginning of one is held
 * back until that is decided, the string itself never comes out, and nothing behind it does. `text` is UTF-8 and not
 * empty; it is copied. stopped says that one was found: whoever makes the tokens can stop (gab_session_cancel). */
GAB_API gab_status gab_text_stream_add_stop(gab_text_stream *stream, const char *text);
GAB_API bool gab_text_stream_stopped(const gab_text_stream *stream);

/* ---- engine ---- */

typedef struct gab_engine gab_engine;
typedef struct gab_session gab_session;

typedef enum gab_kv_type { GAB_KV_F16, GAB_KV_F32 } gab_kv_type;

/* EXACT: f32 activations, products and sums. FAST: variants with narrower products where the device has them and they
 * measure faster. */
typedef enum gab_precision { GAB_PRECISION_FAST, GAB_PRECISION_EXACT } gab_precision;

/* Models without a file, to measure a device with: "synth:PRESET[:TYPE[:POSITIONS]]" has the shape of a published
 * model, random weights, the same ones each time, and a vocabulary of bytes and made-up words. PRESET: gpt2-124m,
 * gpt2-1.5b, gpt3-1.3b, gpt3-6.7b, gpt3-13b, gpt3-175b, llama-1b, llama-8b (Llama 3.2 and 3.1), mixtral-8x7b; TYPE:
 * f32, f16 (default), q8_0, q4_0, q4_k; in any case. POSITIONS: as many as a context is to have, instead of the
 * published number. A file whose name begins like this is "./synth:...". */
typedef struct gab_engine_options {
    size_t struct_size;
    const char *model_path; /* required: a GGUF file (of one in several parts any), the folder of a Hugging Face model
                               (config.json and *.safetensors), or synth:PRESET[:TYPE], see above */
    const char *quantize; /* type that the matrices are brought to while they are loaded: "q8_0", "q4_0", "q4_k"; NULL:
                             as they are. Those whose rows do not divide into its blocks stay as they are, as do
                             positions and what chooses experts */
    const char *device;   /* index, part of the name (any case) or UUID; NULL: GABBRO_DEVICE, else the fastest kind */
    uint32_t context;     /* positions a session can hold; 0: the model's own, or less if memory is short */
    uint32_t n_session;   /* sessions that can exist at once, 1..16; default 8 */
    gab_kv_type kv;       /* type of the KV cache; default F16 */
    gab_precision precision;   /* default FAST */
    uint32_t submit_budget_ms; /* longest submit; default 100 */
    bool tune;                 /* default true: at first use on a device and driver, prove and time the kernels that the
                                  model needs, and keep the choice in the cache folder; false: choose without running
                                  any. GABBRO_TUNE=0 in the environment makes false the default */
    const char *variant;       /* NULL: by measurement, or by rule; "lane" or "group" forces a family of kernels,
                                  OPERATION=NAME one variant, a list of these separated by commas (tests, bench) */
    uint64_t shard_bytes_max;  /* 0: the device's limits; else a smaller bound for one binding (tests) */
    bool staging;              /* true: upload through staging even where weights could be written in place (tests) */
    bool no_pipeline;          /* true: a step begins only when the tokens of the last one have been read (tests) */
    gab_log_fn log;            /* may be NULL */
    void *log_user;
    gab_progress_fn progress; /* may be NULL */
    void *progress_user;
} gab_engine_options;

typedef struct gab_engine_info {
    char model_name[128];
    char architecture[32];
    char device[256];
    char driver[256];
    char variants[17]; /* hash of the kernel variants in use, 16 hexadecimal digits */
    uint32_t n_vocab, n_embd, n_layer, n_head, n_ctx_train;
    uint32_t context;      /* positions a session can hold */
    uint64_t weight_bytes; /* on the device */
    uint64_t kv_bytes;     /* on the device, now */
    double load_ms;        /* gab_engine_create, from call to return */
    bool executes;         /* false: the device computes nothing (a compile-only driver); results are meaningless */
} gab_engine_info;

GAB_API gab_engine_options gab_engine_options_default(void);

/* Opens the device, plans memory, chooses kernels, loads the weights, records the plans. Blocks; at first use on a
 * device and driver some seconds longer (progress stage "tuning kernels (first use on this device)"). Fails with
 * UNSUPPORTED when every kernel for an operation computes wrong numbers there. */
GAB_API gab_status gab_engine_create(const gab_engine_options *options, gab_engine **engine);

/* Sessions must be destroyed first. */
GAB_API void gab_engine_destroy(gab_engine **engine);
GAB_API void gab_engine_get_info(const gab_engine *engine, gab_engine_info *info);
/* Owned by the engine; NULL when the model's files have no vocabulary that this version reads: it can be fed token ids,
 * and only tokens that the files name as ends, apart from a vocabulary, end a text. */
GAB_API const gab_tokenizer *gab_engine_tokenizer(const gab_engine *engine);

/* ---- what a model is ---- */

enum { GAB_MODEL_TYPE_MAX = 32 };

/* The weights of one type. */
typedef struct gab_model_type {
    char name[16]; /* "Q8_0" */
    uint64_t n_tensor, n_weight;
    uint64_t bytes; /* 0: of a type whose size is not known */
} gab_model_type;

/* What the files of a model say; 0 and "" where they say nothing. */
typedef struct gab_model_info {
    char container[16];         /* "GGUF", "safetensors", "synthetic" */
    uint32_t container_version; /* of GGUF */
    uint32_t n_file;
    uint64_t file_bytes; /* of all of them */
    char architecture[64], name[128];
    bool supported;    /* it can run */
    char problem[512]; /* why it cannot */
    uint32_t n_layer, n_embd, n_ff, n_head, n_head_kv, head_dim, n_ctx_train, n_vocab;
    uint64_t n_tensor, n_weight;
    uint32_t n_type;
    gab_model_type types[GAB_MODEL_TYPE_MAX]; /* the most weights first; as loaded: after quantizing */
    char tokenizer[96];                       /* its kind, as the files name it */
    bool chat_template;
    uint32_t context; /* what follows is for sessions of so many positions; 0 where it cannot run */
    uint64_t weight_bytes, kv_bytes, scratch_bytes; /* on a device: weights, one session's cache, activations */
    char device[256];                               /* "": there is none */
    uint64_t device_bytes, device_free_bytes;
} gab_model_info;

/* Reads what the files of a model say and what it would need, without loading it: also of a model that cannot run, or a
 * vocabulary without weights. Of the options, model_path, quantize, context, kv, device and the log count; the device
 * may be missing unless it is named. Fails when the files cannot be read or are damaged. */
GAB_API gab_status gab_model_inspect(const gab_engine_options *options, gab_model_info *info);

/* ---- tuning ---- */

typedef enum gab_tune_verdict {
    GAB_VERDICT_UNTESTED, /* put off: out of time, or its family is hopeless on this device */
    GAB_VERDICT_RIGHT,
    GAB_VERDICT_WRONG,        /* computes wrong numbers: a bug of the driver, or ours */
    GAB_VERDICT_UNCOMPILABLE, /* the driver refuses it */
    GAB_VERDICT_SPILLS,       /* the driver ran out of registers for it */
} gab_tune_verdict;

GAB_API const char *gab_tune_verdict_text(gab_tune_verdict verdict); /* "right", ... */

/* One variant of one operation on one device. */
typedef struct gab_tune_result {
    char operation[64]; /* "matvec_q8_0" */
    char shape[128];    /* what it was timed on: "3072x768 x 1" (rows, columns, activation rows) */
    char variant[64];
    gab_tune_verdict verdict;
    char reason[192];         /* why it is not right, or was not timed; "" */
    double error, error_max;  /* largest relative L2 error seen, and allowed; 0: not run */
    double ms, gb_s, gflop_s; /* one run: time, weights or keys and values read, operations done; 0: not timed */
    bool chosen;
} gab_tune_result;

/* Does again what gab_engine_create does at first use: proves and times the kernels that a model needs on a device,
 * writes the choice to the cache folder, and reports. Loads no weights. Needs options as for gab_engine_create; `tune`
 * is taken as true. On a device that computes nothing, the choice is by rule and by what its compiler says. info: what
 * is known of device, model and kernels without loading; may be NULL. *results is to be freed with
 * gab_tune_results_free; an operation's rows follow each other. */
GAB_API gab_status gab_engine_tune(const gab_engine_options *options, gab_engine_info *info, gab_tune_result **results,
                                   size_t *n_result);
GAB_API void gab_tune_results_free(gab_tune_result **results);

/* ---- session ---- */

/* The sampler, in this order: repetition penalty over the last 64 tokens, temperature, top-k, top-p, min-p, draw. */
typedef struct gab_sampling {
    float temperature;    /* 0: greedy (the largest logit, the lower id on a tie); default 0.8 */
    uint32_t top_k;       /* keep the k largest; 0: all; default 40 */
    float top_p;          /* keep the smallest set with this mass; 1: all; default 0.95 */
    float min_p;          /* drop what is less likely than this times the likeliest; 0: none; default 0.05 */
    float repeat_penalty; /* 1: none (default). Logits of seen tokens: divided by it when positive, else multiplied */
    uint64_t seed;        /* same seed, device, driver and variants: same text */
} gab_sampling;

typedef struct gab_session_options {
    size_t struct_size;
    gab_sampling sampling;
    bool context_shift; /* context full: drop the oldest half and compute the rest again, instead of stopping */
    bool ignore_end;    /* do not stop at end tokens (benchmarks) */
} gab_session_options;

typedef enum gab_stop {
    GAB_STOP_NONE,      /* a token */
    GAB_STOP_END,       /* the model ended its text */
    GAB_STOP_COUNT,     /* as many tokens as asked for */
    GAB_STOP_CONTEXT,   /* the context is full */
    GAB_STOP_CANCELLED, /* gab_session_cancel */
} gab_stop;

typedef struct gab_event {
    gab_stop stop; /* NONE: `token` was made; else the turn is over and `token` is -1 (END: the end token) */
    int32_t token;
} gab_event;

typedef struct gab_session_stats {
    uint64_t n_prompt; /* tokens computed as prompt in the last turn */
    uint64_t n_decode; /* tokens made in the last turn */
    double prompt_ms;  /* from feed to the first token */
    double decode_ms;  /* from the first token to the last */
} gab_session_stats;

GAB_API gab_session_options gab_session_options_default(void);
GAB_API const char *gab_stop_text(gab_stop stop); /* "end", "count", ... */

/* Fails with LIMIT when the engine already holds n_session sessions. */
GAB_API gab_status gab_session_create(gab_engine *engine, const gab_session_options *options, gab_session **session);
GAB_API void gab_session_destroy(gab_session **session);

/* A copy of the conversation so far; shares the KV pages with the original until one of them writes. */
GAB_API gab_status gab_session_fork(gab_session *session, gab_session **copy);

/* Appends tokens to the history and asks for n_predict more; returns at once. Tokens made but not yet taken with next
 * are kept; it is an error to feed while a turn is running. Fails with CONTEXT_FULL when the tokens do not fit. */
GAB_API gab_status gab_session_feed(gab_session *session, const int32_t *tokens, size_t n_token, size_t n_predict);

/* Blocks until there is a token, or the turn has ended. Failures of the device arrive here. */
GAB_API gab_status gab_session_next(gab_session *session, gab_event *event);

/* Ends the running turn soon; next then returns GAB_STOP_CANCELLED. From any thread, and from a signal handler's
 * thread. */
GAB_API void gab_session_cancel(gab_session *session);

/* Appends tokens to the history and writes their logits: n_token rows of n_vocab floats, row i predicting the token
 * after tokens[i]. Blocks. chunk: rows a step may hold, 0 for the engine's choice (tests). */
GAB_API gab_status gab_session_logits(gab_session *session, const int32_t *tokens, size_t n_token, uint32_t chunk,
                                      float *logits);

/* Forgets all but the first n_token tokens. */
GAB_API gab_status gab_session_truncate(gab_session *session, size_t n_token);

/* Forgets all but the longest common beginning of the history and `tokens`, and says how long that is: the tokens
 * behind it are what is left to feed (none at all is fine). Nothing that stays is computed again. */
GAB_API gab_status gab_session_keep_common(gab_session *session, const int32_t *tokens, size_t n_token, size_t *n_kept);
GAB_API size_t gab_session_n_token(const gab_session *session);

/* What the model's makers recommend (general.sampling.* of a GGUF file, generation_config.json of a folder), where they
 * do: the other fields stay as they are. */
GAB_API void gab_engine_recommend_sampling(const gab_engine *engine, gab_sampling *sampling);

/* Another sampler for the turns to come. It is an error while a turn is running. */
GAB_API gab_status gab_session_set_sampling(gab_session *session, const gab_sampling *sampling);
GAB_API void gab_session_get_stats(const gab_session *session, gab_session_stats *stats);

/* ---- chat ---- */

/* A conversation is a list of messages; the template that comes with a model says what text it becomes. */
typedef struct gab_chat gab_chat;

typedef struct gab_chat_message {
    const char *role; /* "system" (first, if at all), "user", "assistant" */
    const char *content;
} gab_chat_message;

/* Reads the template of the engine's model (tokenizer.chat_template). A model without one gets a plain format, "User:"
 * and "Assistant:" before the messages. variables: a JSON object of what the template knows by name beside the
 * conversation ({"enable_thinking": false}); NULL: none. Immutable, safe to share between threads; to be destroyed
 * before the engine. Fails with FORMAT or UNSUPPORTED, naming the line, when the template cannot be understood. */
GAB_API gab_status gab_chat_create(const gab_engine *engine, const char *variables, gab_chat **chat);
GAB_API void gab_chat_destroy(gab_chat **chat);
GAB_API bool gab_chat_has_template(const gab_chat *chat);

/* A text before which an answer ends, for gab_text_stream_add_stop, where the format has no token for it; else NULL. */
GAB_API const char *gab_chat_stop_string(const gab_chat *chat);

/* The tokens of a conversation, to be freed with gab_tokens_free; with `answer`, up to where the assistant's next
 * answer begins. Special tokens come from the template alone: text of a message that spells one stays text, so that
 * nobody can end a turn, or begin another's, by writing so. The token that begins texts stands in front where the
 * vocabulary asks for one, written by the template or not. What is no UTF-8 becomes U+FFFD. Fails with ARGUMENT when
 * the template refuses the conversation (roles that do not alternate, a system prompt where there is none), with LIMIT
 * when it does not end. */
GAB_API gab_status gab_chat_render(const gab_chat *chat, const gab_chat_message *messages, size_t n_message,
                                   bool answer, int32_t **tokens, size_t *n_token);

/* What a token of an answer is. Models that think aloud, in channels (gpt-oss) or between a token that opens a thought
 * and one that closes it (<think>, [THINK], <|channel>), write their thoughts and then what they say, with a frame of
 * tokens around them that is no text; of all others everything is said. */
typedef enum gab_chat_part { GAB_CHAT_SAID, GAB_CHAT_THOUGHT, GAB_CHAT_FRAME } gab_chat_part;

/* Where an answer is; gab_chat_begin says where it begins. */
typedef struct gab_chat_place {
    gab_chat_part part;
    bool in_frame;
    char channel[16];
} gab_chat_place;

/* Before the first token of an answer to these tokens: templates open a thought for some models. */
GAB_API void gab_chat_begin(const gab_chat *chat, const int32_t *tokens, size_t n, gab_chat_place *place);

/* The part that the next token of an answer belongs to. */
GAB_API gab_chat_part gab_chat_follow(const gab_chat *chat, int32_t token, gab_chat_place *place);

#ifdef __cplusplus
}
#endif
#endif
