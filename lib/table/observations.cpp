#include "lib/table/csv.hpp"
#include "lib/table/csv_reader.hpp"

#include <cleave/core/file.hpp>
#include <cleave/core/hash.hpp>
#include <cleave/table/observations.hpp>

#include <algorithm>
#include <map>
#include <numeric>
#include <span>
#include <unordered_map>

namespace cleave::inline v0::table {
namespace {

using core::Errc;
using core::fail;
using core::LevelIndex;
using core::Result;

constexpr std::string_view knob_prefix = "knob.";

// The values of one knob's column as they turn up.
class Column {
 public:
  Column(std::string name, std::size_t index) : index_(index) { knob_.name = std::move(name); }

  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] std::string title() const { return std::string(knob_prefix) + knob_.name; }

  Result<LevelIndex> level_of(std::string_view text, const CsvReader& reader) {
    text = trimmed(text);
    if (text.empty())
      return fail(Errc::corrupt, "the knob has no value", reader.where(title()),
                  "write a word such as none");
    const auto known = levels_.find(std::string(text));
    if (known != levels_.end())
      return known->second;
    if (knob_.levels.size() == most_observed_levels)
      return fail(Errc::exhausted, "more than 65535 values of one knob", reader.where(title()));
    double number = 0;
    knob_.categorical = !parse_number(text, number) || knob_.categorical;
    const auto level = static_cast<LevelIndex>(knob_.levels.size());
    knob_.levels.push_back({std::string(text), number});
    levels_.emplace(text, level);
    return level;
  }

  // The knob as it is kept, and for each level by first occurrence which of its levels that is.
  core::Knob finish(std::vector<LevelIndex>& renamed) {
    std::vector<core::Level>& levels = knob_.levels;
    renamed.resize(levels.size());
    if (knob_.categorical) {
      std::iota(renamed.begin(), renamed.end(), LevelIndex{0});
      for (std::size_t i = 0; i < levels.size(); ++i) levels[i].value = static_cast<double>(i);
      return std::move(knob_);
    }
    std::map<double, std::string> by_value;
    for (const core::Level& level : levels) by_value.emplace(level.value, level.label);
    for (std::size_t i = 0; i < levels.size(); ++i)
      renamed[i] =
          static_cast<LevelIndex>(std::distance(by_value.begin(), by_value.find(levels[i].value)));
    levels.clear();
    for (const auto& [value, label] : by_value) levels.push_back({label, value});
    return std::move(knob_);
  }

 private:
  core::Knob knob_;
  std::size_t index_;
  std::unordered_map<std::string, LevelIndex> levels_;
};

struct LevelsHash {
  std::size_t operator()(const std::vector<LevelIndex>& levels) const {
    return core::hash_bytes(std::as_bytes(std::span(levels)));
  }
};

// Numbers of one field, with what is asked of them.
Result<double> positive(const std::string& field, std::string_view column,
                        const CsvReader& reader) {
  double value = 0;
  if (!parse_number(field, value))
    return fail(Errc::corrupt, "not a finite number: \"" + field.substr(0, 40) + "\"",
                reader.where(column));
  if (!(value > 0))
    return fail(Errc::corrupt, "a measurement must be above 0: " + field.substr(0, 40),
                reader.where(column));
  return value;
}

class Parser {
 public:
  explicit Parser(CsvReader& reader) : reader_(reader) {}

  Result<Observations> parse() {
    if (const auto ok = read_header(); !ok)
      return fail(ok);
    std::vector<std::string> fields;
    std::size_t rows = 0;
    for (;;) {
      const auto more = reader_.next(fields);
      if (!more)
        return fail(more);
      if (!*more)
        break;
      if (++rows > most_observed_runs)
        return fail(Errc::exhausted, "more than 4 million rows", reader_.where());
      if (const auto ok = read_row(fields); !ok)
        return fail(ok);
    }
    if (rows == 0)
      return fail(Errc::corrupt, "there is no row after the header", reader_.where());
    finish();
    return std::move(out_);
  }

 private:
  Result<void> read_header() {
    auto header = CsvHeader::read(reader_);
    if (!header)
      return fail(header);
    header_ = std::move(*header);
    const auto latency = header_.required("latency_ms");
    const auto energy = header_.required("energy_j");
    if (!latency || !energy)
      return latency ? fail(energy) : fail(latency);
    latency_ = *latency;
    energy_ = *energy;
    accuracy_ = header_.find("accuracy");
    out_.has_accuracy = accuracy_ < header_.names().size();
    for (std::size_t i = 0; i < header_.names().size(); ++i) {
      const std::string& name = header_.names()[i];
      if (name.starts_with(knob_prefix) && name.size() > knob_prefix.size())
        columns_.emplace_back(name.substr(knob_prefix.size()), i);
    }
    if (columns_.empty())
      return fail(Errc::corrupt, "there is no column whose name begins with knob.", reader_.where(),
                  "name what can be set like knob.threads");
    return {};
  }

  Result<void> read_row(const std::vector<std::string>& fields) {
    if (const auto ok = header_.fits(fields, reader_); !ok)
      return ok;
    std::vector<LevelIndex> levels;
    for (Column& column : columns_) {
      const auto level = column.level_of(fields[column.index()], reader_);
      if (!level)
        return fail(level);
      levels.push_back(*level);
    }
    const auto latency = positive(fields[latency_], "latency_ms", reader_);
    const auto energy = positive(fields[energy_], "energy_j", reader_);
    if (!latency || !energy)
      return latency ? fail(energy) : fail(latency);
    ObservedRun run{.latency = core::milliseconds(*latency), .energy = core::Joules(*energy)};
    if (!(run.latency.count() > 0))
      return fail(Errc::corrupt, "too short to be a latency", reader_.where("latency_ms"));
    if (out_.has_accuracy &&
        (!parse_number(fields[accuracy_], run.accuracy) || run.accuracy < 0 || run.accuracy > 1))
      return fail(Errc::corrupt, "not an accuracy: \"" + fields[accuracy_].substr(0, 40) + "\"",
                  reader_.where("accuracy"), "write a share, 0 to 1");
    runs_.push_back(run);
    const auto found = index_.emplace(std::move(levels), index_.size()).first;
    if (index_.size() > 2 * most_observed_configurations)
      return fail(Errc::exhausted, "more than 200000 different configurations", reader_.where());
    of_run_.push_back(static_cast<std::uint32_t>(found->second));
    return {};
  }

  // Only now is it known which knobs are of numbers, and so which spellings are one level.
  void finish() {
    std::vector<std::vector<LevelIndex>> renamed(columns_.size());
    for (std::size_t c = 0; c < columns_.size(); ++c)
      out_.knobs.push_back(columns_[c].finish(renamed[c]));
    std::vector<const std::vector<LevelIndex>*> written(index_.size());
    for (const auto& [levels, index] : index_) written[index] = &levels;
    std::unordered_map<std::vector<LevelIndex>, std::size_t, LevelsHash> merged;
    std::vector<std::size_t> configuration(index_.size());
    for (std::size_t i = 0; i < written.size(); ++i) {
      std::vector<LevelIndex> levels = *written[i];
      for (std::size_t c = 0; c < levels.size(); ++c) levels[c] = renamed[c][levels[c]];
      const auto [place, fresh] = merged.emplace(levels, merged.size());
      if (fresh)
        out_.configurations.push_back({std::move(levels), {}});
      configuration[i] = place->second;
    }
    for (std::size_t r = 0; r < runs_.size(); ++r)
      out_.configurations[configuration[of_run_[r]]].runs.push_back(runs_[r]);
  }

  CsvReader& reader_;
  CsvHeader header_;
  std::vector<Column> columns_;
  std::size_t latency_ = 0, energy_ = 0, accuracy_ = 0;
  Observations out_;
  std::vector<ObservedRun> runs_;
  std::vector<std::uint32_t> of_run_;
  std::unordered_map<std::vector<LevelIndex>, std::size_t, LevelsHash> index_;
};

}  // namespace

ObservedRun mean_of(const ObservedConfiguration& configuration) {
  ObservedRun mean{.latency = {}, .energy = {}, .accuracy = 0};
  for (const ObservedRun& run : configuration.runs) {
    mean.latency += run.latency;
    mean.energy += run.energy;
    mean.accuracy += run.accuracy;
  }
  const auto count = static_cast<double>(configuration.runs.size());
  return {.latency = mean.latency / count,
          .energy = mean.energy / count,
          .accuracy = mean.accuracy / count};
}

Result<Observations> parse_observations(std::string_view text, const std::string& name) {
  if (text.size() > observations_size_limit)
    return fail(Errc::exhausted, "more than 128 MiB of observations", name);
  CsvReader reader(text, name);
  auto out = Parser(reader).parse();
  if (!out)
    return out;
  if (out->configurations.size() > most_observed_configurations)
    return fail(Errc::exhausted, "more than 200000 different configurations", name);
  out->name = name;
  return out;
}

Result<Observations> load_observations(const std::filesystem::path& path) {
  const auto text = core::read_text(path, observations_size_limit);
  if (!text)
    return fail(text);
  return parse_observations(*text, path.string());
}

std::string to_csv(const Observations& observations) {
  CsvLines csv;
  for (const core::Knob& knob : observations.knobs) csv.text(std::string(knob_prefix) + knob.name);
  csv.text("latency_ms").text("energy_j");
  if (observations.has_accuracy)
    csv.text("accuracy");
  csv.end_line();
  for (const ObservedConfiguration& configuration : observations.configurations)
    for (const ObservedRun& run : configuration.runs) {
      for (std::size_t k = 0; k < observations.knobs.size(); ++k)
        csv.text(observations.knobs[k].levels.at(configuration.levels.at(k)).label);
      csv.number(run.latency.count() * 1e3).number(run.energy.count());
      if (observations.has_accuracy)
        csv.number(run.accuracy);
      csv.end_line();
    }
  return csv.take();
}

std::string describe(const std::vector<core::Knob>& knobs, const std::vector<LevelIndex>& levels) {
  std::string text;
  for (std::size_t k = 0; k < std::min(knobs.size(), levels.size()); ++k)
    text += (k > 0 ? ", " : "") + knobs[k].name + "=" + knobs[k].levels.at(levels[k]).label;
  return text;
}

}  // namespace cleave::inline v0::table
