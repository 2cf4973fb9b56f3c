// cleave token: makes the secret by which a client is let in.
#include "cli/commands.hpp"
#include "cli/common.hpp"

#include <cleave/core/file.hpp>
#include <cleave/transport/tls.hpp>

#include <cstdio>
#include <filesystem>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;

constexpr std::size_t max_tokens_file = 1U << 20;

struct Options {
  std::string out, tokens, name;
  bool force = false;
};

core::Result<void> make(const Options& options) {
  std::error_code error;
  if (!options.force && std::filesystem::exists(options.out, error))
    return fail(Errc::invalid_argument, "it is there already", options.out, "--force replaces it");
  const auto token = transport::make_token();
  if (!token)
    return fail(token);
  const auto line = transport::token_line(*token, options.name);
  if (!line)
    return fail(line);
  if (auto written = core::write_file(options.out, *token + "\n", core::Readers::owner); !written)
    return written;
  if (options.tokens.empty()) {
    std::printf("%s\n", line->c_str());
    return {};
  }
  std::string lines;
  if (std::filesystem::exists(options.tokens, error)) {
    auto text = core::read_text(options.tokens, max_tokens_file);
    if (!text)
      return fail(text);
    lines = std::move(*text);
    if (!lines.empty() && lines.back() != '\n')
      lines += '\n';
  }
  if (auto written = core::write_file(options.tokens, lines + *line + "\n", core::Readers::owner);
      !written)
    return written;
  std::printf("wrote %s, and its sum to %s\n", options.out.c_str(), options.tokens.c_str());
  return {};
}

}  // namespace

void add_token(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("token", summary_of("token"));
  command->add_option("-o,--output", options->out, "The file with the token, for the client")
      ->required();
  command->add_option("--tokens", options->tokens,
                      "Add its SHA-256 to this file of `cleave serve --tokens` (none: print the "
                      "line)");
  command->add_option("--name", options->name, "What the server's log calls it");
  command->add_flag("--force", options->force, "Replace a token that is there");
  command->footer(
      "A token is 256 random bits. The server keeps only sums, so who reads its file learns no "
      "token;\n"
      "delete a line and start the server anew to take a token back.\n\n"
      "Example:\n  cleave token -o camera-1.token --tokens tokens --name camera-1");
  command->callback([options, &result] {
    if (const auto done = make(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
