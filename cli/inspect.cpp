// cleave inspect: what a model consists of and where it can be cut.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/json_text.hpp"
#include "cli/model_options.hpp"

#include <cleave/core/file.hpp>
#include <cleave/report/report.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/transport/codec.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <iostream>

namespace cleave::cli {
namespace {

using nlohmann::json;

using core::Result;

// The codecs whose bytes are shown: exact, and the two that cost the least accuracy.
constexpr std::array<const char*, 3> codecs{"raw", "fp16", "int8"};
constexpr int timed_passes = 5;

// What a pass over the example inputs shows.
struct Measured {
  std::vector<double> steps;                   ///< share of a pass's time, by step
  std::vector<std::vector<std::size_t>> cuts;  ///< encoded bytes, by cut and codec
};

// The medians over some passes after a warm one.
Result<std::vector<double>> step_shares(const model::Model& model, const core::Values& inputs) {
  if (auto set = model.set_threads(1); !set)
    return core::fail(set);
  std::vector<std::vector<double>> times(model.step_count());
  for (int pass = 0; pass <= timed_passes; ++pass) {
    std::vector<core::StepTime> one;
    if (auto ran = model.run_timed(model.cuts().front().id, model.cuts().back().id, inputs, one);
        !ran)
      return core::fail(ran);
    for (const core::StepTime& step : one)
      if (pass > 0)
        times[step.step].push_back(step.time.count());
  }
  std::vector<double> shares;
  double sum = 0;
  for (auto& samples : times) {
    std::nth_element(samples.begin(), samples.begin() + timed_passes / 2, samples.end());
    shares.push_back(samples[timed_passes / 2]);
    sum += shares.back();
  }
  for (double& share : shares) share = sum > 0 ? share / sum : 0;
  return shares;
}

Result<Measured> measure(const model::Model& model) {
  const core::Values inputs = model.example_inputs();
  auto shares = step_shares(model, inputs);
  if (!shares)
    return core::fail(shares);
  Measured measured{std::move(*shares), {}};
  core::Values across = inputs;
  const auto cuts = model.cuts();
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    // Behind the last step nothing crosses but the reply.
    measured.cuts.emplace_back();
    if (i + 1 == cuts.size() && i > 0)
      break;
    if (i > 0) {
      auto next = model.run(cuts[i - 1].id, cuts[i].id, across);
      if (!next)
        return core::fail(next);
      across = std::move(*next);
    }
    for (const char* name : codecs) {
      const auto codec = transport::find_codec(name);
      if (!codec)
        return core::fail(codec);
      std::vector<std::byte> message;
      if (auto encoded = transport::encode_values(across, **codec, message); !encoded)
        return core::fail(encoded);
      measured.cuts.back().push_back(message.size());
    }
  }
  return measured;
}

// Of the pass before each position.
std::vector<double> shares_before(const Measured& measured) {
  std::vector<double> before{0};
  for (const double share : measured.steps) before.push_back(before.back() + share);
  return before;
}

json describe(const model::Model& model, const Measured& measured) {
  json inputs = json::array();
  for (const model::InputSpec& input : model.inputs())
    inputs.push_back({{"name", input.name}, {"shape", model::to_string(input)}});
  const std::vector<double> before = shares_before(measured);
  json cuts = json::array();
  for (std::size_t i = 0; i < model.cuts().size(); ++i) {
    const core::Cut& cut = model.cuts()[i];
    json encoded = json::object();
    for (std::size_t c = 0; c < measured.cuts[i].size(); ++c)
      encoded[codecs[c]] = measured.cuts[i][c];
    cuts.push_back({{"id", to_string(cut.id)},
                    {"position", cut.position},
                    {"layer", cut.layer},
                    {"op", cut.op},
                    {"bytes", cut.bytes.count()},
                    {"encoded", encoded},
                    {"share_before", before[cut.position]}});
  }
  json steps = json::array();
  for (std::size_t i = 0; i < model.steps().size(); ++i) {
    const model::StepInfo& step = model.steps()[i];
    steps.push_back({{"layer", step.layer},
                     {"op", step.op},
                     {"output", step.output_sizes},
                     {"parameters", step.parameters},
                     {"weight_bytes", step.weight_bytes.count()},
                     {"needs", step.needs},
                     {"kernel", step.kernel},
                     {"share", measured.steps[i]}});
  }
  json refused = json::array();
  for (const model::RefusedCut& cut : model.refused_cuts())
    refused.push_back(
        {{"position", cut.position}, {"layer", cut.layer}, {"op", cut.op}, {"reason", cut.reason}});
  return {{"name", model.name()},
          {"fingerprint", to_string(model.fingerprint())},
          {"inputs", inputs},
          {"parameters", model.parameter_count()},
          {"weight_bytes", model.weight_bytes().count()},
          {"cuts", cuts},
          {"steps", steps},
          {"refused_cuts", refused}};
}

core::Bytes to_bytes(std::size_t count) {
  return core::Bytes(static_cast<double>(count));
}

void print(const model::Model& model, const Measured& measured) {
  std::printf("%s  %s\n", model.name().c_str(), to_string(model.fingerprint()).c_str());
  for (const model::InputSpec& input : model.inputs())
    std::printf("  input %s %s\n", input.name.c_str(), model::to_string(input).c_str());
  std::printf("  %" PRId64 " parameters, %s of weights, %zu steps, %zu cuts\n\n",
              model.parameter_count(), report::format(model.weight_bytes()).c_str(),
              model.steps().size(), model.cuts().size());
  using Align = report::TextTable::Align;
  report::TextTable table({{"cut", Align::left},
                           {"after", Align::left},
                           {"", Align::left},
                           {codecs[0], Align::right},
                           {codecs[1], Align::right},
                           {codecs[2], Align::right},
                           {"time before", Align::right}});
  const std::vector<double> before = shares_before(measured);
  for (std::size_t i = 0; i < model.cuts().size(); ++i) {
    const core::Cut& cut = model.cuts()[i];
    std::vector<std::string> row{to_string(cut.id), cut.layer, cut.op};
    for (std::size_t c = 0; c < codecs.size(); ++c)
      row.push_back(measured.cuts[i].empty() ? "-" : report::format(to_bytes(measured.cuts[i][c])));
    row.push_back(report::percent(before[cut.position]));
    table.add_row(std::move(row));
  }
  std::cout << table.text() << std::flush;
  std::printf(
      "\nBytes: what crosses for an example input, encoded. Time before: the head's share of a\n"
      "pass, by the medians of %d passes on one thread of this machine.\n",
      timed_passes);
  for (const model::RefusedCut& cut : model.refused_cuts())
    std::printf("no cut at position %u, after %s %s: %s\n", cut.position, cut.layer.c_str(),
                cut.op.c_str(), cut.reason.c_str());
  std::fflush(stdout);
}

report::NetworkPicture picture_of(const model::Model& model, const Measured& measured) {
  report::NetworkPicture picture;
  picture.name = model.name();
  picture.share_of = "the time on one thread of the machine that made this page";
  picture.codecs.assign(codecs.begin(), codecs.end());
  for (std::size_t i = 0; i < model.steps().size(); ++i) {
    const model::StepInfo& step = model.steps()[i];
    picture.steps.push_back(
        {step.layer, step.op, measured.steps[i], step.computes, step.needs, step.reads_input});
  }
  const std::vector<double> before = shares_before(measured);
  for (std::size_t i = 0; i < model.cuts().size(); ++i) {
    report::NetworkPicture::Cut cut;
    cut.id = to_string(model.cuts()[i].id);
    cut.position = model.cuts()[i].position;
    cut.share = before[cut.position];
    for (const std::size_t bytes : measured.cuts[i]) cut.encoded.push_back(to_bytes(bytes));
    picture.cuts.push_back(std::move(cut));
  }
  for (const model::RefusedCut& refused : model.refused_cuts())
    picture.cuts.push_back({"", refused.position, {}, before[refused.position], refused.reason});
  std::stable_sort(picture.cuts.begin(), picture.cuts.end(),
                   [](const auto& a, const auto& b) { return a.position < b.position; });
  return picture;
}

Result<void> inspect(const ModelOptions& options, bool as_json, const std::string& page) {
  const auto model = load_model(options);
  if (!model)
    return core::fail(model);
  const auto measured = measure(**model);
  if (!measured)
    return core::fail(measured);
  if (!page.empty()) {
    report::ReportInput input;
    input.title = (*model)->name();
    input.network = picture_of(**model, *measured);
    if (auto written = core::write_file(page, report::html(input)); !written)
      return written;
  }
  if (as_json)
    std::cout << json_text(describe(**model, *measured)) << '\n';
  else
    print(**model, *measured);
  if (!page.empty() && !as_json)
    std::printf("wrote %s\n", page.c_str());
  return {};
}

}  // namespace

void add_inspect(CLI::App& app, int& result) {
  struct Options {
    ModelOptions model;
    bool json = false;
    std::string report;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("inspect", summary_of("inspect"));
  add_model_options(*command, options->model, true);
  add_json_flag(*command, options->json);
  command->add_option(
      "--report", options->report,
      "Write a self-contained HTML page with a picture of the network and its cuts");
  command->footer(
      "Examples:\n"
      "  cleave inspect resnet50.pt --input 1x3x224x224\n"
      "  cleave inspect resnet50.pt --report resnet50.html");
  command->callback([options, &result] {
    if (const auto done = inspect(options->model, options->json, options->report); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
