#include "text/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tokenizer_parts.h"

/* Where a file has no template: names, as in a play. */
static const char PLAIN[] = "{% for m in messages %}"
                            "{{ {'system': '', 'user': 'User:\\n', 'assistant': 'Assistant:\\n'}[m.role] }}"
                            "{{ m.content }}\n\n"
                            "{% endfor %}"
                            "{% if add_generation_prompt %}Assistant:\n{% endif %}";
static const char PLAIN_STOP[] = "\nUser:";

/* Around what a model thinks aloud: Qwen 3 and DeepSeek R1, Ministral 3 and Magistral, Gemma 4. */
static const char *const thoughts[][2] = {
    {"<think>", "</think>"}, {"[THINK]", "[/THINK]"}, {"<|channel>", "<channel|>"}};
enum {
    N_THOUGHT = sizeof thoughts / sizeof *thoughts,
    N_SPECIALS = 3,
    THOUGHT_WITHIN = 4, /* tokens before an answer, among which a template opens a thought */
};

struct gab_chat {
    gab_chat_template *template;
    const gab_tokenizer *tokenizer;
    gab_log log;
    bool plain;
    char *bos, *eos;                             /* as they are spelled; NULL: none */
    char *variables;                             /* an object, or NULL */
    int32_t begin, channel, message, end;        /* the frame of the parts of an answer (gpt-oss); -1: there is none */
    int32_t opens[N_THOUGHT], closes[N_THOUGHT]; /* thoughts; -1: there are none */
    gab_special_set raw;       /* the tokenizer's normalized ones as a message spells them; texts are the tokenizer's */
    bool *markers[N_SPECIALS]; /* [items] of specials_of: the template writes it between messages */
};

/* The tokens that a message may spell, as they are, normalized, and what those were before. */
static const gab_special_set *specials_of(const gab_chat *c, int i) {
    const gab_special_set *sets[N_SPECIALS] = {&c->tokenizer->specials, &c->tokenizer->normalized, &c->raw};
    return sets[i];
}

/* ---- making ---- */

static bool contains(const char *text, size_t n, const char *part, size_t n_part) {
    for (size_t i = 0; i + n_part <= n; i++)
        if (memcmp(text + i, part, n_part) == 0) return true;
    return false;
}

/* Vocabularies list tokens of turns among those that are read from any text, beside runs of spaces and names of HTML:
 * those that the template spells are the former. */
static bool *find_markers(const gab_special_set *set, const char *source, size_t n) {
    bool *markers = calloc(set->n + 1, sizeof *markers);
    for (size_t i = 0; markers && i < set->n; i++) {
        const gab_special *s = &set->items[i];
        const bool bracketed = s->n_byte > 2 && (s->text[0] == '<' || s->text[0] == '[');
        markers[i] = bracketed && s->always && contains(source, n, s->text, s->n_byte);
    }
    return markers;
}

static bool spell(const gab_tokenizer *tokenizer, int32_t token, char **text) {
    size_t n;
    const char *piece = gab_tokenizer_piece(tokenizer, token, true, &n);
    if (!piece) return true;
    *text = malloc(n + 1);
    if (!*text) return false;
    memcpy(*text, piece, n);
    (*text)[n] = 0;
    return true;
}

/* The special token that is spelled so; -1: none. */
static int32_t find_named(const gab_chat *c, const char *name) {
    const size_t n = strlen(name);
    for (int k = 0; k < N_SPECIALS; k++) {
        const gab_special_set *set = specials_of(c, k);
        for (size_t i = 0; i < set->n; i++)
            if (set->items[i].n_byte == n && memcmp(set->items[i].text, name, n) == 0) return set->items[i].id;
    }
    return -1;
}

static void find_channels(gab_chat *c) {
    c->begin = find_named(c, "<|start|>");
    c->channel = find_named(c, "<|channel|>");
    c->message = find_named(c, "<|message|>");
    c->end = find_named(c, "<|end|>");
    if (c->begin < 0 || c->message < 0 || c->end < 0) c->channel = -1;
    for (int i = 0; i < N_THOUGHT; i++) {
        c->opens[i] = find_named(c, thoughts[i][0]);
        c->closes[i] = find_named(c, thoughts[i][1]);
        if (c->opens[i] < 0 || c->closes[i] < 0) c->opens[i] = c->closes[i] = -1;
    }
}

/* Whether it begins or ends a thought, of models without channels. */
static bool is_thought_frame(const gab_chat *c, int32_t token, gab_chat_part *then) {
    for (int i = 0; i < N_THOUGHT; i++) {
        if (token < 0 || (token != c->opens[i] && token != c->closes[i])) continue;
        *then = token == c->opens[i] ? GAB_CHAT_THOUGHT : GAB_CHAT_SAID;
        return true;
    }
    return false;
}

void gab_chat_begin(const gab_chat *c, const int32_t *tokens, size_t n, gab_chat_place *place) {
    *place = (gab_chat_place){.part = GAB_CHAT_SAID};
    for (size_t i = n > THOUGHT_WITHIN ? n - THOUGHT_WITHIN : 0; i < n; i++)
        (void)is_thought_frame(c, tokens[i], &place->part);
}

gab_chat_part gab_chat_follow(const gab_chat *c, int32_t token, gab_chat_place *p) {
    if (is_thought_frame(c, token, &p->part)) return GAB_CHAT_FRAME;
    if (c->channel < 0) return p->part;
    if (token == c->channel || token == c->begin || token == c->end) {
        p->in_frame = token != c->end;
        p->channel[0] = 0;
        return GAB_CHAT_FRAME;
    }
    if (token == c->message) {
        p->in_frame = false;
        p->part = strncmp(p->channel, "analysis", 8) == 0 || strncmp(p->channel, "commentary", 10) == 0
                      ? GAB_CHAT_THOUGHT
                      : GAB_CHAT_SAID; /* what is not known is shown */
        return GAB_CHAT_FRAME;
    }
    if (!p->in_frame) return p->part;
    size_t n = 0;
    const char *piece = gab_tokenizer_piece(c->tokenizer, token, false, &n);
    const size_t used = strlen(p->channel), room = sizeof p->channel - 1 - used;
    if (piece) {
        memcpy(p->channel + used, piece, n < room ? n : room);
        p->channel[used + (n < room ? n : room)] = 0;
    }
    return GAB_CHAT_FRAME;
}

/* The tokens that are found in normalized text, as they are spelled. */
static bool make_raw(gab_chat *c) {
    const gab_special_set *from = &c->tokenizer->normalized;
    c->raw.items = calloc(from->n + 1, sizeof *c->raw.items);
    if (!c->raw.items) return false;
    for (size_t i = 0; i < from->n; i++) {
        const gab_token *token = &c->tokenizer->tokens[from->items[i].id];
        gab_special *to = &c->raw.items[c->raw.n];
        *to = from->items[i];
        to->text = token->piece;
        to->n_byte = token->n_byte;
        c->raw.n += to->n_byte > 0;
    }
    gab_special_set_sort(&c->raw);
    c->raw.word = from->word;
    return true;
}

gab_status gab_chat_make(const char *source, size_t n, const char *name, const char *variables,
                         const gab_tokenizer *tokenizer, const gab_log *log, gab_chat **chat) {
    gab_chat *c = calloc(1, sizeof *c);
    if (!c) return gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: out of memory for the chat template", name);
    c->tokenizer = tokenizer;
    c->log = *log;
    c->plain = !source;
    if (c->plain) {
        source = PLAIN;
        n = sizeof PLAIN - 1;
    }
    gab_status status = gab_chat_template_create(source, n, name, log, &c->template);
    bool made = make_raw(c) && spell(tokenizer, tokenizer->bos, &c->bos) && spell(tokenizer, tokenizer->eos, &c->eos);
    find_channels(c);
    for (int i = 0; i < N_SPECIALS; i++) {
        c->markers[i] = find_markers(specials_of(c, i), source, n);
        made = made && c->markers[i];
    }
    if (variables) c->variables = strdup(variables);
    made = made && (c->variables || !variables);
    if (status == GAB_OK && !made)
        status = gab_fail(log, GAB_ERROR_HOST_MEMORY, "%s: out of memory for the chat template", name);
    if (status != GAB_OK)
        gab_chat_destroy(&c);
    else
        *chat = c;
    return status;
}

void gab_chat_destroy(gab_chat **chat) {
    gab_chat *c = chat ? *chat : NULL;
    if (!c) return;
    gab_chat_template_destroy(&c->template);
    for (int i = 0; i < N_SPECIALS; i++) free(c->markers[i]);
    free(c->raw.items);
    free(c->variables);
    free(c->bos);
    free(c->eos);
    free(c);
    *chat = NULL;
}

bool gab_chat_has_template(const gab_chat *chat) {
    return !chat->plain;
}

const char *gab_chat_stop_string(const gab_chat *chat) {
    return chat->plain ? PLAIN_STOP : NULL;
}

/* ---- messages as JSON ---- */

typedef struct buffer {
    char *text;
    size_t n, size;
    bool failed;
} buffer;

static void put(buffer *b, const char *text, size_t n) {
    if (n >= b->size - b->n) {
        const size_t size = (b->n + n + 64) * 2;
        char *larger = b->failed || n > SIZE_MAX / 4 || b->n > SIZE_MAX / 8 ? NULL : realloc(b->text, size);
        b->failed = !larger;
        if (!larger) return;
        b->text = larger;
        b->size = size;
    }
    memcpy(b->text + b->n, text, n);
    b->n += n;
    b->text[b->n] = 0;
}

static void put_text(buffer *b, const char *text) {
    put(b, text, strlen(text));
}

static void put_character(buffer *b, const char *text, size_t n) {
    static const char hex[] = "0123456789abcdef";
    const unsigned char c = (unsigned char)*text;
    if (n == 1 && c < 0x20) {
        const char escape[] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        put(b, escape, sizeof escape);
        return;
    }
    if (n == 1 && (c == '"' || c == '\\')) put(b, "\\", 1);
    put(b, text, n);
}

/* Well-formed, and without guards of its own. */
static void put_clean(buffer *b, const char *text, size_t n) {
    for (size_t i = 0, length; i < n; i += length) {
        gab_utf8_kind kind;
        length = gab_utf8_next(text + i, n - i, &kind);
        const bool guard = n - i >= sizeof GAB_TEXT_GUARD - 1 && memcmp(text + i, GAB_TEXT_GUARD, 3) == 0;
        if (kind == GAB_UTF8_CHARACTER && !guard)
            put(b, text + i, length);
        else
            put_text(b, GAB_UTF8_REPLACEMENT);
    }
}

/* Special tokens of one set that a text spells, one after another. */
typedef struct finder {
    const gab_special_set *set;
    const bool *markers;
    size_t at, own; /* where the next one takes spaces from, and where it is spelled */
    const gab_special *found;
} finder;

/* Whether a token begins at i that must not be one: what ends turns or comes from no text, always; other tokens of the
 * template only where the model did not make the text itself. */
static bool is_forbidden(const gab_chat *c, finder *f, const char *text, size_t n, size_t i, bool made) {
    size_t end;
    if (f->own < i || !f->found) {
        if (f->own >= n && !f->found) return false;
        f->found = gab_special_find(f->set, true, text, n, i, &f->at, &end);
        f->own = f->found ? f->at : n;
        while (f->found && memcmp(text + f->own, f->found->text, f->found->n_byte) != 0) f->own++; /* spaces */
    }
    if (!f->found || i < f->at) return false;
    return !f->found->always || c->tokenizer->tokens[f->found->id].end ||
           (!made && f->markers[f->found - f->set->items]);
}

static void put_content(const gab_chat *c, buffer *b, const char *content, bool made) {
    buffer clean = {0};
    finder finders[N_SPECIALS];
    for (int k = 0; k < N_SPECIALS; k++) finders[k] = (finder){specials_of(c, k), c->markers[k], 0, 0, NULL};
    put_text(&clean, "");
    put_clean(&clean, content, strlen(content));
    b->failed |= clean.failed;
    for (size_t i = 0, length; !clean.failed && i < clean.n; i += length) {
        gab_utf8_kind kind;
        length = gab_utf8_next(clean.text + i, clean.n - i, &kind);
        bool forbidden = false;
        for (int k = 0; k < N_SPECIALS; k++)
            forbidden = is_forbidden(c, &finders[k], clean.text, clean.n, i, made) || forbidden;
        if (forbidden) put_text(b, GAB_TEXT_GUARD);
        put_character(b, clean.text + i, length);
    }
    free(clean.text);
}

static void put_messages(const gab_chat *c, buffer *b, const gab_chat_message *messages, size_t n) {
    put_text(b, "[");
    for (size_t i = 0; i < n; i++) {
        put_text(b, i ? ", {\"role\": \"" : "{\"role\": \"");
        put_content(c, b, messages[i].role, false);
        put_text(b, "\", \"content\": \"");
        put_content(c, b, messages[i].content, strcmp(messages[i].role, "assistant") == 0);
        put_text(b, "\"}");
    }
    put_text(b, "]");
}

/* The token that begins all texts, where the tokenizer has one and the template has not written it. */
static gab_status put_start(const gab_chat *c, int32_t **tokens, size_t *n_token) {
    const gab_tokenizer *t = c->tokenizer;
    if (c->plain || t->n_prefix != 1 || t->prefix[0] != t->bos) return GAB_OK;
    if (*n_token > 0 && (*tokens)[0] == t->bos) return GAB_OK;
    int32_t *longer = realloc(*tokens, (*n_token + 1) * sizeof *longer);
    if (!longer) return gab_fail(&c->log, GAB_ERROR_HOST_MEMORY, "out of host memory for a conversation");
    memmove(longer + 1, longer, *n_token * sizeof *longer);
    longer[0] = t->bos;
    *tokens = longer;
    ++*n_token;
    return GAB_OK;
}

gab_status gab_chat_render(const gab_chat *c, const gab_chat_message *messages, size_t n_message, bool answer,
                           int32_t **tokens, size_t *n_token) {
    if (!c || (!messages && n_message) || !tokens || !n_token)
        return gab_fail(NULL, GAB_ERROR_ARGUMENT,
                        "gab_chat_render: chat, messages, tokens and n_token must not be NULL");
    for (size_t i = 0; i < n_message; i++)
        if (!messages[i].role || !messages[i].content)
            return gab_fail(&c->log, GAB_ERROR_ARGUMENT, "gab_chat_render: message %zu has no role or no content", i);
    buffer json = {0};
    char *text = NULL;
    size_t n = 0;
    put_messages(c, &json, messages, n_message);
    gab_status status = GAB_OK;
    if (json.failed) {
        status = gab_fail(&c->log, GAB_ERROR_HOST_MEMORY, "out of host memory for a conversation");
    } else {
        const gab_chat_input input = {.messages = json.text,
                                      .bos_token = c->bos,
                                      .eos_token = c->eos,
                                      .variables = c->variables,
                                      .add_generation_prompt = answer};
        status = gab_chat_template_render(c->template, &input, &c->log, &text, &n);
    }
    free(json.text);
    int32_t *made = NULL;
    size_t n_made = 0;
    if (status == GAB_OK) status = gab_tokenizer_encode_guarded(c->tokenizer, text, n, c->plain, &made, &n_made);
    if (status == GAB_OK) status = put_start(c, &made, &n_made);
    free(text);
    if (status != GAB_OK) {
        free(made);
        return status;
    }
    *tokens = made;
    *n_token = n_made;
    return GAB_OK;
}
