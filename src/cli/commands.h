/*
 * commands.h - the commands of the program, one file each. A command returns what failed; main turns it into an exit
 * status.
 */
#ifndef GAB_CLI_COMMANDS_H
#define GAB_CLI_COMMANDS_H

#include "cli/options.h"
#include "cli/output.h"

gab_status cli_run(const cli_options *options, cli_console *console);
gab_status cli_chat(const cli_options *options, cli_console *console);
gab_status cli_devices(const cli_options *options, cli_console *console);
gab_status cli_tokenize(const cli_options *options, cli_console *console);
gab_status cli_detokenize(const cli_options *options, cli_console *console);
gab_status cli_logits(const cli_options *options, cli_console *console);
gab_status cli_perplexity(const cli_options *options, cli_console *console);
gab_status cli_info(const cli_options *options, cli_console *console);
gab_status cli_tune(const cli_options *options, cli_console *console);
gab_status cli_bench(const cli_options *options, cli_console *console);
gab_status cli_pull(const cli_options *options, cli_console *console);

#endif
