#include "text/families.h"
#include "format/reader.h"

#include <string.h>

/* Contractions, then words, numbers and other marks, each with the one space before it, then spaces up to that one. */
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* GPT-4's and what came of it: a word takes any one mark before it, marks take the line ends behind them, and the
 * families differ in what a word and a number is. */
#define CONTRACTION  "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define ENDS         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define GPT4(number) CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" number "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" ENDS
#define UPPER        "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER        "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(behind, number)                                                                                          \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" behind "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" behind           \
    "|" number "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" ENDS

/* DeepSeek's; the letters are those with upper and lower case. Not for clang-format, which would cut between bytes. */
/* clang-format off */
#define CASED_LETTERS \
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-" \
    "ὅὈ-" \
    "Ὅὐ-ὗὙὛὝὟ-\\x{1F7D}ᾀ-ᾴᾶ-ᾼ\\x{1FBE}ῂ-ῄῆ-ῌῐ-\\x{1FD3}ῖ-\\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\\x{2126}ℨ\\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-" \
    "ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-" \
    "𑣟𞤀-" \
    "𞥃]+"
/* clang-format on */
#define EAST_ASIAN "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+"
#define DEEPSEEK3                                                                                                      \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"                \
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" ENDS

/* BLOOM's: words end at marks and spaces, of several scripts. */
#define BLOOM " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+"

#define DIGIT   "\\p{N}"
#define DIGITS3 "\\p{N}{1,3}"

#define STEPS_GPT2                                                                                                     \
    {                                                                                                                  \
        { GPT2 }                                                                                                       \
    }
#define STEPS_GPT2_DIGIT                                                                                               \
    {                                                                                                                  \
        {DIGIT}, {                                                                                                     \
            GPT2                                                                                                       \
        }                                                                                                              \
    }
#define STEPS(pattern)                                                                                                 \
    {                                                                                                                  \
        { pattern }                                                                                                    \
    }
#define STEPS_DEEPSEEK3                                                                                                \
    {                                                                                                                  \
        {DIGITS3}, {"[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+"}, {                                 \
            DEEPSEEK3                                                                                                  \
        }                                                                                                              \
    }

const char gab_pattern_gpt2[] = GPT2;

static const gab_family FAMILIES[] = {
    {"gpt-2", STEPS_GPT2},
    {"default", STEPS_GPT2},
    {"phi-2", STEPS_GPT2},
    {"jais", STEPS_GPT2},
    {"gigachat", STEPS_GPT2},
    {"mellum", STEPS_GPT2},
    {"a.x-4.0", STEPS_GPT2},
    {"trillion", STEPS_GPT2},
    {"exaone4", STEPS_GPT2},
    {"granite-docling", STEPS_GPT2},
    {"mpt", STEPS_GPT2, .nfc = true},
    {"olmo", STEPS_GPT2, .nfc = true},
    {"modern-bert", STEPS_GPT2, .nfc = true},
    {"starcoder", STEPS_GPT2_DIGIT},
    {"refact", STEPS_GPT2_DIGIT},
    {"smollm", STEPS_GPT2_DIGIT},
    {"codeshell", STEPS_GPT2_DIGIT},
    {"exaone", STEPS_GPT2_DIGIT},
    {"minerva-7b", STEPS_GPT2_DIGIT},
    {"command-r", STEPS_GPT2_DIGIT, .nfc = true},
    {"falcon",
     {{"[\\p{P}$+<=>^`|~]+"},
      {GPT2},
      {"\\p{N}+", GAB_SPLIT_CONTIGUOUS, .spelled = true},
      {"[0-9][0-9][0-9]", .spelled = true}}},
    {"llama-bpe", STEPS(GPT4(DIGITS3)), .whole_words = true, .add_bos = true},
    {"llama3", STEPS(GPT4(DIGITS3)), .whole_words = true, .add_bos = true},
    {"llama-v3", STEPS(GPT4(DIGITS3)), .whole_words = true, .add_bos = true},
    {"falcon3", STEPS(GPT4(DIGITS3)), .whole_words = true, .add_bos = true},
    {"falcon-h1", STEPS(GPT4(DIGITS3)), .whole_words = true, .add_bos = true},
    {"pixtral", STEPS(GPT4(DIGITS3)), .whole_words = true, .add_bos = true},
    {"midm-2.0", STEPS(GPT4(DIGITS3)), .whole_words = true, .add_bos = true},
    {"lfm2", STEPS(GPT4(DIGITS3)), .whole_words = true, .add_bos = true},
    {"dbrx", STEPS(GPT4(DIGITS3))},
    {"smaug-bpe", STEPS(GPT4(DIGITS3))},
    {"glm4", STEPS(GPT4(DIGITS3))},
    {"chatglm-bpe", STEPS(GPT4(DIGITS3))},
    {"qwen2", STEPS(GPT4(DIGIT)), .nfc = true},
    {"deepseek-r1-qwen", STEPS(GPT4(DIGIT))},
    {"stablelm2", STEPS(GPT4(DIGIT))},
    {"megrez", STEPS(GPT4(DIGIT))},
    {"hunyuan", STEPS(GPT4(DIGIT))},
    {"qwen35",
     STEPS(CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" ENDS),
     .nfc = true},
    {"seed-coder", STEPS(CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" ENDS)},
    {"bailingmoe",
     STEPS(CONTRACTION
           "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+")},
    {"gpt-4o", STEPS(CASED(CONTRACTION "?", DIGITS3))},
    {"llama4", STEPS(CASED(CONTRACTION "?", DIGITS3))},
    {"minimax-m2", STEPS(CASED(CONTRACTION "?", DIGITS3))},
    {"tekken", STEPS(CASED("", DIGIT)), .whole_words = true, .add_bos = true},
    {"deepseek-llm",
     {{"[\\r\\n]"},
      {CASED_LETTERS},
      {"\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+"},
      {"\\s+$"},
      {EAST_ASIAN},
      {DIGIT}}},
    {"deepseek-coder", {{"[\\r\\n]"}, {"\\s?\\p{L}+"}, {"\\s?\\p{P}+"}, {EAST_ASIAN}, {DIGIT}}},
    {"deepseek-v3", STEPS_DEEPSEEK3},
    {"hunyuan-dense", STEPS_DEEPSEEK3},
    {"joyai-llm", STEPS_DEEPSEEK3},
    {"bloom", STEPS(BLOOM)},
    {"gpt3-finnish", STEPS(BLOOM)},
    {"poro-chat", STEPS(BLOOM)},
    {"viking", {{BLOOM}, {DIGIT}}},
};
enum { FAMILY_COUNT = sizeof FAMILIES / sizeof *FAMILIES };

gab_status gab_family_find(const char *name, const char *file, const gab_log *log, const gab_family **family) {
    char names[GAB_MESSAGE_MAX] = "", shown[65];
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        if (strcmp(FAMILIES[i].name, name) == 0) {
            *family = &FAMILIES[i];
            return GAB_OK;
        }
        size_t used = strlen(names);
        if (used + strlen(FAMILIES[i].name) + 3 > sizeof names) continue;
        strcat(names, i ? ", " : "");
        strcat(names, FAMILIES[i].name);
    }
    gab_reader_show(shown, sizeof shown, name);
    return gab_fail(log, GAB_ERROR_UNSUPPORTED,
                    "%s: tokenizer.ggml.pre is '%s', whose pre-tokenizer patterns are not known here; known are %s",
                    file, shown, names);
}
