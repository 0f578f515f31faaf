/* tokenize and detokenize, with the embedded model's vocabulary and with broken files. No device is needed. */
#include "cli.h"

/* tokenize, then detokenize what it printed. */
static void check_round_trip(const char *text, const char *format) {
    cli_result ids = format ? CLI_WITH({.in = text}, "tokenize", "--no-special", format)
                            : CLI_WITH({.in = text}, "tokenize", "--no-special");
    CHECK_EXIT(ids, 0);
    cli_result back = CLI_WITH({.in = ids.out}, "detokenize");
    CHECK_EXIT(back, 0);
    if (strcmp(back.out, text) != 0) FAIL("'%s' came back as '%s'", text, back.out);
    cli_result_free(&ids);
    cli_result_free(&back);
}

static const char *const texts[] = {
    "Once upon a time",
    " leading and trailing ",
    "two\nlines\n\n",
    "\ttabs\r\n",
    "caf\xc3\xa9 \xf0\x9f\x99\x82 \xe4\xb8\xad",
    "it's 12345 <|endoftext|>",
    "\x01\x7f",
};

GAB_TEST(round_trip) {
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) check_round_trip(texts[i], NULL);
}

GAB_TEST(round_trip_json) {
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) check_round_trip(texts[i], "--json");
}

GAB_TEST(round_trip_of_tokens_option) {
    cli_result ids = CLI("tokenize", "-p", "The sea was calm.");
    CHECK_EXIT(ids, 0);
    cli_result back = CLI("detokenize", "--tokens", ids.out);
    CHECK_EXIT(back, 0);
    CHECK(strcmp(back.out, "The sea was calm.") == 0);
    cli_result_free(&ids);
    cli_result_free(&back);
}

GAB_TEST(json_is_array_of_ids) {
    cJSON *array = cli_json(CLI("tokenize", "--json", "Once upon a time"));
    CHECK(cJSON_IsArray(array) && cJSON_GetArraySize(array) >= 2);
    const cJSON *id;
    cJSON_ArrayForEach(id, array) CHECK(cJSON_IsNumber(id) && id->valuedouble >= 0);
    cJSON_Delete(array);
}

GAB_TEST(json_pieces_join_to_text) {
    char joined[256] = "";
    cJSON *array = cli_json(CLI("tokenize", "--json", "-v", "Once upon a time\n"));
    const cJSON *token;
    cJSON_ArrayForEach(token, array) {
        CHECK(cli_json_number_of(token, "id") >= 0);
        strncat(joined, cli_json_text_of(token, "piece"), sizeof joined - strlen(joined) - 1);
    }
    CHECK(strcmp(joined, "Once upon a time\n") == 0);
    cJSON_Delete(array);
}

/* Bytes that are part of a character only are spelled, so that the output is UTF-8. */
GAB_TEST(pieces_are_text) {
    cli_result result = CLI_WITH({.in = "\xff\n"}, "tokenize", "-v");
    CHECK_EXIT(result, 0);
    CHECK_SAYS(result.out, "\"<0xFF>\"");
    CHECK_SAYS(result.out, "\"\\n\"");
    cli_result_free(&result);
}

/* A folder with a tokenizer.json, whose SentencePiece vocabulary puts a space in front. */
GAB_TEST(folder_as_model) {
    const char *folder = gab_test_source("tests/tokenizers/llama");
    cli_result ids = CLI("tokenize", "-m", folder, "--no-special", "Hello \xf0\x9f\xa6\x99  world");
    CHECK_EXIT(ids, 0);
    cli_result back = CLI_WITH({.in = ids.out}, "detokenize", "-m", folder);
    CHECK_EXIT(back, 0);
    CHECK(strcmp(back.out, "Hello \xf0\x9f\xa6\x99  world") == 0);
    cli_result_free(&ids);
    cli_result_free(&back);
}

GAB_TEST(special_tokens) {
    cJSON *parsed = cli_json(CLI("tokenize", "--json", "<|endoftext|>"));
    cJSON *plain = cli_json(CLI("tokenize", "--json", "--no-special", "<|endoftext|>"));
    CHECK(cJSON_GetArraySize(parsed) == 1);
    CHECK(cJSON_GetArraySize(plain) > 1);
    cJSON_Delete(parsed);
    cJSON_Delete(plain);
}

GAB_TEST(text_behind_dashes) {
    cli_result result = CLI("tokenize", "--json", "--", "--json");
    CHECK_EXIT(result, 0);
    CHECK(result.out[0] == '[');
    cli_result_free(&result);
}

GAB_TEST(token_outside_vocabulary) {
    static const char *const wrong[] = {"1,2,999999", "1,-2", "1,x", "1.5", "4294967296", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cli_result result = CLI("detokenize", "--tokens", wrong[i]);
        CHECK_EXIT(result, 2);
        CHECK_SAYS(result.err, "is not an id of this model: its vocabulary is 0 to ");
        cli_result_free(&result);
    }
}

GAB_TEST(missing_model) {
    cli_result result = CLI("tokenize", "-m", "/nonexistent/model.gguf", "a");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "gabbro: error: ");
    CHECK_SAYS(result.err, "/nonexistent/model.gguf");
    CHECK(strchr(result.err, '\n') == result.err + result.n_err - 1); /* said once */

    cli_result_free(&result);
}

GAB_TEST(model_named_by_environment) {
    setenv("GABBRO_MODEL", "/nonexistent/other.gguf", 1);
    cli_result result = CLI("tokenize", "a");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "GABBRO_MODEL names /nonexistent/other.gguf");
    cli_result_free(&result);
    setenv("GABBRO_MODEL", gab_test_source("models/tales.gguf"), 1);
    result = CLI("tokenize", "a");
    CHECK_EXIT(result, 0);
    cli_result_free(&result);
    setenv("GABBRO_MODEL", "synth:gpt2-124m", 1);
    result = CLI("tokenize", "ab");
    CHECK_EXIT(result, 0);
    CHECK(strcmp(result.out, "97 98\n") == 0);
    cli_result_free(&result);
}

GAB_TEST(wrong_preset) {
    cli_result result = CLI("tokenize", "-m", "synth:help", "a");
    CHECK_EXIT(result, 2);
    CHECK_SAYS(result.err, "gabbro: error: 'synth:help' has no known preset");
    CHECK_SAYS(result.err, "gpt2-124m, gpt2-1.5b,");
    CHECK(strchr(result.err, '\n') == result.err + result.n_err - 1);
    cli_result_free(&result);
}

GAB_TEST(not_a_model) {
    cli_result result = CLI("tokenize", "-m", gab_test_source("CMakeLists.txt"), "a");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "CMakeLists.txt");
    CHECK_SAYS(result.err, "GGUF");
    cli_result_free(&result);
}

GAB_TEST(missing_text_file) {
    cli_result result = CLI("tokenize", "-f", "/nonexistent/text");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "/nonexistent/text");
    cli_result_free(&result);
}

GAB_TEST(full_disk) {
    if (access("/dev/full", W_OK) != 0) SKIP("no /dev/full");
    cli_result result = CLI_WITH({.out_path = "/dev/full"}, "tokenize", "a");
    CHECK_EXIT(result, 1);
    CHECK_SAYS(result.err, "gabbro: error: cannot write standard output: No space left");
    cli_result_free(&result);
}

GAB_TEST_MAIN()
