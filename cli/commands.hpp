// The subcommands: each declares itself on the app and writes its exit code to `result`.
#pragma once

#include <CLI/CLI.hpp>

namespace cleave::cli {

void add_calibrate(CLI::App& app, int& result);
void add_cert(CLI::App& app, int& result);
void add_check_model(CLI::App& app, int& result);
void add_codecs(CLI::App& app, int& result);
void add_doctor(CLI::App& app, int& result);
void add_inspect(CLI::App& app, int& result);
void add_link(CLI::App& app, int& result);
void add_optimize(CLI::App& app, int& result);
void add_profile(CLI::App& app, int& result);
void add_push(CLI::App& app, int& result);
void add_replay(CLI::App& app, int& result);
void add_report(CLI::App& app, int& result);
void add_run(CLI::App& app, int& result);
void add_serve(CLI::App& app, int& result);
void add_token(CLI::App& app, int& result);
void add_verify(CLI::App& app, int& result);
void add_workload(CLI::App& app, int& result);
void add_zoo(CLI::App& app, int& result);

}  // namespace cleave::cli
