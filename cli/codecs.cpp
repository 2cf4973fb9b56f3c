// cleave codecs: what each codec costs at each cut, in bytes, time and answers.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/interrupt.hpp"
#include "cli/json_text.hpp"
#include "cli/model_options.hpp"
#include "cli/parse.hpp"
#include "cli/progress.hpp"

#include <cleave/core/file.hpp>
#include <cleave/data/inputs.hpp>
#include <cleave/profiler/codecs.hpp>
#include <cleave/report/terminal.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using nlohmann::json;

struct Options {
  ModelOptions model;
  std::string data, labels, codecs = "raw,raw+zstd,fp16,bf16,int8,int8+zstd,int8c,q6,q4,int4,int2",
                            cuts, csv;
  std::size_t samples = 0;
  int threads = 1;
  bool json = false, quiet = false;
};

// Those that --cuts names, each once; empty if it names none.
Result<std::vector<core::CutId>> chosen(const model::Model& model, const Options& options) {
  std::vector<core::CutId> ids;
  for (const std::string& name : split_list(options.cuts)) {
    bool found = false;
    for (const core::Cut& cut : model.cuts()) {
      if (to_string(cut.id) != name && cut.layer != name)
        continue;
      found = true;
      if (std::find(ids.begin(), ids.end(), cut.id) == ids.end())
        ids.push_back(cut.id);
    }
    if (!found)
      return fail(Errc::not_found, "the network has no such cut", name,
                  "`cleave inspect` lists the cuts; give their ids or layers");
  }
  return ids;
}

std::string number(double value, const char* format) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Text of a field that may hold commas or quotes (RFC 4180).
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + '"';
}

std::string csv_of(const std::vector<profiler::CodecAtCut>& rows) {
  std::string text =
      "position,cut,layer,op,codec,mean_bytes,encode_ms,decode_ms,top1_agreement,inputs,"
      "top1_accuracy,labelled\n";
  for (const profiler::CodecAtCut& row : rows)
    text +=
        std::to_string(row.cut.position) + ',' + to_string(row.cut.id) + ',' +
        quoted(row.cut.layer) + ',' + quoted(row.cut.op) + ',' + row.codec + ',' +
        number(row.bytes.count(), "%.1f") + ',' + number(row.encode.count() * 1e3, "%.6g") + ',' +
        number(row.decode.count() * 1e3, "%.6g") + ',' + number(row.agreement(), "%.6f") + ',' +
        std::to_string(row.inputs) + ',' +
        (row.labelled == 0
             ? ""
             : number(static_cast<double>(row.right) / static_cast<double>(row.labelled), "%.6f")) +
        ',' + std::to_string(row.labelled) + '\n';
  return text;
}

void print(const model::Model& model, const std::vector<profiler::CodecAtCut>& rows) {
  using Align = report::TextTable::Align;
  std::printf("%s  %s\n", model.name().c_str(), to_string(model.fingerprint()).c_str());
  report::TextTable table({{"after", Align::left},
                           {"", Align::left},
                           {"codec", Align::left},
                           {"bytes", Align::right},
                           {"encode", Align::right},
                           {"decode", Align::right},
                           {"agreement", Align::right}});
  for (const profiler::CodecAtCut& row : rows)
    table.add_row({row.cut.layer, row.cut.op, row.codec, number(row.bytes.count(), "%.0f"),
                   number(row.encode.count() * 1e3, "%.3f ms"),
                   number(row.decode.count() * 1e3, "%.3f ms"),
                   number(row.agreement() * 100, "%.2f %%")});
  std::cout << table.text() << std::flush;
  std::printf(
      "\nOver %llu inputs. Bytes: the mean message. Times: medians on one thread of this machine.\n"
      "Agreement: how often the class is the one that the network gives without a codec.\n",
      static_cast<unsigned long long>(rows.empty() ? 0 : rows.front().inputs));
}

json json_of(const model::Model& model, const std::vector<profiler::CodecAtCut>& rows) {
  json list = json::array();
  for (const profiler::CodecAtCut& row : rows)
    list.push_back({{"cut", to_string(row.cut.id)},
                    {"position", row.cut.position},
                    {"layer", row.cut.layer},
                    {"op", row.cut.op},
                    {"codec", row.codec},
                    {"mean_bytes", row.bytes.count()},
                    {"encode_seconds", row.encode.count()},
                    {"decode_seconds", row.decode.count()},
                    {"agreeing", row.agreeing},
                    {"inputs", row.inputs},
                    {"right", row.right},
                    {"labelled", row.labelled}});
  return {{"name", model.name()},
          {"fingerprint", to_string(model.fingerprint())},
          {"rows", std::move(list)}};
}

Result<void> codecs(const Options& options) {
  const Interrupt interrupt;
  const auto model = load_model(options.model);
  if (!model)
    return fail(model);
  const auto data = data::open_inputs(
      options.data,
      options.labels.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.labels));
  if (!data)
    return fail(data);
  if (auto set = (*model)->set_threads(options.threads); !set)
    return set;
  profiler::CodecComparisonOptions comparing;
  comparing.codecs = split_list(options.codecs);
  comparing.stop = interrupt.token();
  auto cuts = chosen(**model, options);
  if (!cuts)
    return fail(cuts);
  comparing.cuts = std::move(*cuts);
  Progress progress(options.quiet);
  comparing.progress = [&](double fraction) { progress.update(fraction, "codecs"); };
  const auto sizes = (*model)->inputs().front().sizes;
  const std::size_t count =
      options.samples == 0 ? data->size() : std::min(options.samples, data->size());
  const auto rows = profiler::compare_codecs(
      **model, count,
      [&](std::size_t i) -> Result<profiler::LabelledValues> {
        auto input = data->input(i, sizes);
        if (!input)
          return fail(input);
        return profiler::LabelledValues{{std::move(*input)}, data->label(i)};
      },
      comparing);
  progress.finish();
  if (!rows)
    return fail(rows);
  if (!options.csv.empty()) {
    const std::string text = csv_of(*rows);
    if (auto written = core::write_file(options.csv, text); !written)
      return written;
  }
  if (options.json)
    std::cout << json_text(json_of(**model, *rows)) << '\n';
  else
    print(**model, *rows);
  return {};
}

}  // namespace

void add_codecs(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("codecs", summary_of("codecs"));
  add_model_options(*command, options->model, true);
  command->add_option("--data", options->data, "Inputs: a folder of images, IDX, .npy or CSV")
      ->required();
  command->add_option("--labels", options->labels,
                      "Their classes: the CSV and the JSON then tell the accuracy, too");
  command->add_option("--codecs", options->codecs, "Codecs to compare (docs/codecs.md)")
      ->capture_default_str();
  command->add_option(
      "--cuts", options->cuts,
      "Cuts to compare at, by id or layer, as `cleave inspect` names them (none: all)");
  command->add_option("--samples", options->samples, "The first so many inputs (0: all)")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "Threads that the network runs on")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--csv", options->csv, "Write the table here, too");
  command->add_flag("--quiet", options->quiet, "No progress");
  add_json_flag(*command, options->json);
  command->footer(
      "Example:\n"
      "  cleave codecs fashion_residual.pt --samples 1000 --csv codecs.csv \\\n"
      "      --data /usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz");
  command->callback([options, &result] {
    if (const auto done = codecs(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
