#include <cleave/core/file.hpp>
#include <cleave/device/board.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <optional>
#include <set>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t size_limit = std::size_t{1} << 20;

// What parsing throws inside this file; load_board turns it into a value.
struct Invalid {
  std::string field, what;
};

std::string member(const std::string& where, const std::string& name) {
  return where.empty() ? name : where + "." + name;
}

const json& need(const json& object, const std::string& where, const std::string& name) {
  const auto found = object.find(name);
  if (found == object.end())
    throw Invalid{member(where, name), "is missing"};
  return *found;
}

const json& need_object(const json& value, const std::string& where) {
  if (!value.is_object())
    throw Invalid{where, "is not an object"};
  return value;
}

std::string need_text(const json& object, const std::string& where, const std::string& name) {
  const json& value = need(object, where, name);
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    throw Invalid{member(where, name), "is not a text"};
  return value.get<std::string>();
}

double need_number(const json& value, const std::string& where, double least, double most) {
  if (!value.is_number())
    throw Invalid{where, "is not a number"};
  const double number = value.get<double>();
  if (!(number >= least && number <= most))
    throw Invalid{
        where, "is " + value.dump() + ", outside " + json(least).dump() + ".." + json(most).dump()};
  return number;
}

// A misspelt field would be a figure silently left out.
void only(const json& object, const std::string& where,
          std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : object.items())
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw Invalid{member(where, name), "is not a field of a board description"};
}

class Parser {
 public:
  Board board(const json& root) {
    need_object(root, "the file");
    only(root, "",
         {"format", "name", "title", "kind", "cores", "levels_by", "origin", "sources", "formulas",
          "levels", "machine", "radios", "notes"});
    const double format = need_number(need(root, "", "format"), "format", 1, 2);
    Board board;
    if (format >= 2)
      read_kind_of_levels(root, board);
    else
      for (const char* later : {"levels_by", "origin"})
        if (root.contains(later))
          throw Invalid{later, "needs format 2"};
    board.name = need_text(root, "", "name");
    board.title = need_text(root, "", "title");
    board.kind = need_text(root, "", "kind");
    if (board.kind != "edge" && board.kind != "server")
      throw Invalid{"kind", "is \"" + board.kind + "\", neither \"edge\" nor \"server\""};
    board.cores = whole(need(root, "", "cores"), "cores", 4096);
    read_sources(root, board);
    read_levels(need(root, "", "levels"), board);
    if (root.contains("machine"))
      board.machine = read_machine(need_object(root["machine"], "machine"));
    if (board.kind == "server" && !board.machine)
      throw Invalid{"machine", "is missing: a server needs its whole machine's watts"};
    if (root.contains("radios"))
      read_radios(root["radios"], board);
    return board;
  }

 private:
  struct Number {
    double value = 0, error = 0;
    std::string source;
    bool derived = false;
  };

  static void read_kind_of_levels(const json& root, Board& board) {
    const auto word = [&](const char* field, const std::string& usual, const std::string& other) {
      const std::string text = root.contains(field) ? need_text(root, "", field) : usual;
      if (text != usual && text != other)
        throw Invalid{field,
                      "is \"" + text + "\", neither \"" + usual + "\" nor \"" + other + "\""};
      return text == other;
    };
    board.by_mode = word("levels_by", "frequency", "mode");
    if (word("origin", "published", "measured"))
      board.origin = core::Origin::measured;
  }

  void read_sources(const json& root, Board& board) {
    const json& sources = need_object(need(root, "", "sources"), "sources");
    for (const auto& [key, value] : sources.items()) {
      const std::string where = "sources." + key;
      need_object(value, where);
      only(value, where, {"title", "url", "note"});
      const std::string line =
          need_text(value, where, "title") + ", " + need_text(value, where, "url");
      sources_[key] = line;
      board.sources.push_back(key + ": " + line);
    }
    if (sources_.empty())
      throw Invalid{"sources", "is empty: every figure needs its source"};
    if (root.contains("formulas"))
      for (const auto& [key, value] : need_object(root["formulas"], "formulas").items()) {
        if (!value.is_string())
          throw Invalid{"formulas." + key, "is not a text"};
        formulas_[key] = value.get<std::string>();
      }
  }

  Number figure(const json& object, const std::string& where, const std::string& name, double least,
                double most) {
    const std::string at = member(where, name);
    const json& value = need_object(need(object, where, name), at);
    only(value, at, {"value", "source", "derived", "error"});
    Number number;
    number.value = need_number(need(value, at, "value"), at + ".value", least, most);
    if (value.contains("error"))
      number.error = need_number(value["error"], at + ".error", 0, most);
    number.derived = value.contains("derived");
    if (number.derived == value.contains("source"))
      throw Invalid{at, "needs either a source or the formula it is derived by"};
    const std::string key = need_text(value, at, number.derived ? "derived" : "source");
    const auto& known = number.derived ? formulas_ : sources_;
    const auto found = known.find(key);
    if (found == known.end())
      throw Invalid{at, "refers to \"" + key + "\", which is not among the " +
                            (number.derived ? "formulas" : "sources")};
    number.source = found->second;
    return number;
  }

  Figure watts(const json& object, const std::string& where, const std::string& name) {
    const Number number = figure(object, where, name, 0, 1e5);
    return {core::Watts(number.value), number.source, number.derived, core::Watts(number.error)};
  }

  BoardLevel read_level(const json& object, const std::string& where, const Board& board) {
    only(object, where,
         {"label", "mode", "cores", "frequency_hz", "voltage", "idle_watts", "busy_one_core_watts",
          "busy_watts"});
    BoardLevel level;
    level.label = need_text(object, where, "label");
    if (board.by_mode)
      level.mode = need_text(object, where, "mode");
    else if (object.contains("mode"))
      throw Invalid{where + ".mode", "belongs to a board whose levels are modes"};
    if (object.contains("cores"))
      level.cores = whole(object["cores"], where + ".cores", board.cores);
    if (!board.by_mode || object.contains("frequency_hz"))
      level.frequency = core::Hertz(
          need_number(need(object, where, "frequency_hz"), where + ".frequency_hz", 1e6, 1e11));
    if (object.contains("voltage"))
      level.voltage = figure(object, where, "voltage", 0.1, 20).value;
    level.idle = watts(object, where, "idle_watts");
    level.busy_one_core = watts(object, where, "busy_one_core_watts");
    level.busy = watts(object, where, "busy_watts");
    if (level.busy_one_core.watts < level.idle.watts)
      throw Invalid{where + ".busy_one_core_watts", "is below idle_watts"};
    if (level.busy.watts < level.busy_one_core.watts)
      throw Invalid{where + ".busy_watts", "is below busy_one_core_watts"};
    return level;
  }

  static int whole(const json& value, const std::string& where, int most) {
    const double number = need_number(value, where, 1, most);
    if (number != std::floor(number))
      throw Invalid{where, "is not a whole number"};
    return static_cast<int>(number);
  }

  void read_levels(const json& levels, Board& board) {
    if (!levels.is_array() || levels.empty() || levels.size() > 256)
      throw Invalid{"levels", "is not a list of 1 to 256 levels"};
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const std::string where = "levels[" + std::to_string(i) + "]";
      BoardLevel level = read_level(need_object(levels[i], where), where, board);
      if (i > 0 && board.by_mode && level.busy.watts < board.levels.back().busy.watts)
        throw Invalid{where + ".busy_watts", "does not ascend"};
      if (i > 0 && !board.by_mode && level.frequency <= board.levels.back().frequency)
        throw Invalid{where + ".frequency_hz", "does not ascend"};
      board.levels.push_back(std::move(level));
    }
  }

  MachinePower read_machine(const json& object) {
    only(object, "machine", {"idle_watts", "busy_watts"});
    MachinePower machine{watts(object, "machine", "idle_watts"),
                         watts(object, "machine", "busy_watts")};
    if (machine.busy.watts < machine.idle.watts)
      throw Invalid{"machine.busy_watts", "is below idle_watts"};
    return machine;
  }

  void read_radios(const json& radios, Board& board) {
    if (!radios.is_array())
      throw Invalid{"radios", "is not a list"};
    for (std::size_t i = 0; i < radios.size(); ++i) {
      const std::string where = "radios[" + std::to_string(i) + "]";
      const json& object = need_object(radios[i], where);
      only(object, where,
           {"name", "transmit_joules_per_byte", "receive_joules_per_byte", "base_watts"});
      Radio radio;
      radio.name = need_text(object, where, "name");
      const Number transmit = figure(object, where, "transmit_joules_per_byte", 0, 1);
      radio.transmit = core::JoulesPerByte(transmit.value);
      radio.receive =
          core::JoulesPerByte(figure(object, where, "receive_joules_per_byte", 0, 1).value);
      radio.base = watts(object, where, "base_watts").watts;
      radio.source = transmit.source;
      board.radios.push_back(std::move(radio));
    }
  }

  std::map<std::string, std::string> sources_, formulas_;
};

std::optional<std::string> program_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error)
    return std::nullopt;
  return program.parent_path().string();
}

}  // namespace

core::Watts Board::power(std::size_t level, int active_cores, double utilisation) const {
  const BoardLevel& at = levels.at(level);
  const int all = cores_at(level);
  const int active = std::clamp(active_cores, 0, all);
  if (active == 0)
    return at.idle.watts;
  const double beyond_one =
      all > 1 ? static_cast<double>(active - 1) / static_cast<double>(all - 1) : 1.0;
  const core::Watts busy =
      at.busy_one_core.watts + beyond_one * (at.busy.watts - at.busy_one_core.watts);
  return at.idle.watts + std::clamp(utilisation, 0.0, 1.0) * (busy - at.idle.watts);
}

core::Watts Board::added_power(std::size_t level, int active_cores, double utilisation) const {
  return power(level, active_cores, utilisation) - levels.at(level).idle.watts;
}

core::Watts Board::machine_power(std::size_t level, int active_cores, double utilisation) const {
  const core::Watts device = power(level, active_cores, utilisation);
  if (!machine)
    return device;
  // The figures of the whole machine were measured at its highest level.
  const BoardLevel& top = levels.back();
  const core::Watts span = top.busy.watts - top.idle.watts;
  const double part = span > core::Watts(0) ? (device - top.idle.watts) / span : 0.0;
  return machine->idle.watts +
         std::clamp(part, 0.0, 1.0) * (machine->busy.watts - machine->idle.watts);
}

int Board::cores_for(int threads, int cpus) const {
  const int of = std::max(cpus, 1);
  const int busy = std::clamp(threads, 0, of);
  return std::min((busy * cores + of - 1) / of, cores);
}

const Radio* Board::radio(const std::string& wanted) const {
  for (const Radio& radio : radios)
    if (radio.name == wanted)
      return &radio;
  return nullptr;
}

std::vector<core::Level> Board::share_levels(double scale) const {
  std::vector<core::Level> shares;
  for (const BoardLevel& level : levels)
    shares.push_back({level.label, scale * (level.frequency / levels.back().frequency)});
  return shares;
}

std::string Board::citation() const {
  std::set<std::string> used;
  std::string line;
  const auto add = [&](const Figure& figure) {
    if (!figure.derived && used.insert(figure.source).second)
      line += (line.empty() ? "" : "; ") + figure.source;
  };
  bool derived = false;
  for (const BoardLevel& level : levels)
    for (const Figure* figure : {&level.idle, &level.busy_one_core, &level.busy}) {
      add(*figure);
      derived = derived || figure->derived;
    }
  if (machine) {
    add(machine->idle);
    add(machine->busy);
  }
  if (derived)
    line += line.empty() ? "derived" : "; other levels derived";
  return line;
}

core::Result<Board> load_board(const fs::path& path) {
  const auto text = core::read_text(path, size_limit);
  if (!text)
    return core::fail(text);
  const json root = json::parse(*text, nullptr, false);
  if (root.is_discarded())
    return core::fail(core::Errc::corrupt, "not JSON", path.string(),
                      "data/boards/README.md describes the format");
  try {
    return Parser().board(root);
  } catch (const Invalid& invalid) {
    return core::fail(core::Errc::invalid_argument, invalid.field + " " + invalid.what,
                      path.string(), "data/boards/README.md describes the format");
  }
}

std::vector<fs::path> board_folders() {
  std::vector<fs::path> folders;
  if (const char* data = std::getenv("CLEAVE_DATA_DIR"); data != nullptr && *data != '\0')
    folders.emplace_back(fs::path(data) / "boards");
  // An installation that was moved as a whole still finds its data beside its programs, which are
  // in bin or in libexec/cleave.
  if (const auto program = program_folder())
    for (const char* up : {"..", "../.."})
      folders.emplace_back((fs::path(*program) / up / "share/cleave/boards").lexically_normal());
  folders.emplace_back(CLEAVE_BOARDS_INSTALLED);
  folders.emplace_back(CLEAVE_BOARDS_SOURCE);
  return folders;
}

core::Result<Board> find_board(const std::string& name) {
  if (name.find('/') != std::string::npos || name.ends_with(".json"))
    return load_board(name);
  for (const fs::path& folder : board_folders()) {
    const fs::path file = folder / (name + ".json");
    std::error_code error;
    if (fs::exists(file, error))
      return load_board(file);
  }
  std::string known;
  for (const std::string& board : list_boards()) known += (known.empty() ? "" : ", ") + board;
  return core::fail(core::Errc::not_found, "no board description of that name", name,
                    known.empty() ? "set CLEAVE_DATA_DIR to the folder that holds boards/"
                                  : "there are " + known);
}

std::vector<std::string> list_boards() {
  std::set<std::string> names;
  for (const fs::path& folder : board_folders()) {
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
      if (it->path().extension() == ".json")
        names.insert(it->path().stem().string());
  }
  return {names.begin(), names.end()};
}

}  // namespace cleave::inline v0::device
