#include <cleave/model/model.hpp>

#include <array>
#include <charconv>

namespace cleave::inline v0::model {
namespace {

using core::Errc;
using core::fail;
using Kind = InputSpec::Kind;

constexpr const char* form =
    "write sizes as in 1x3x224x224 or 1x77:int64, other values as in int:3, [1x4,1x4], (1x4,none), "
    "{key=1x4}";

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '+' || c == '/';
}

std::string quoted(const std::string& text) {
  bool plain = !text.empty();
  for (const char c : text) plain = plain && is_plain(c);
  if (plain)
    return text;
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    if (c == '\n')
      result += "\\n";
    else
      result += c;
  }
  return result + '"';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  core::Result<InputSpec> run() {
    auto spec = value(0);
    if (spec && !rest_.empty())
      return wrong("not the sizes of an input");
    return spec;
  }

 private:
  [[nodiscard]] tl::unexpected<core::Error> wrong(const std::string& what) const {
    return fail(Errc::invalid_argument, what, std::string(text_), form);
  }

  bool take(char c) {
    if (rest_.empty() || rest_.front() != c)
      return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word))
      return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  // A run of plain characters, or anything between quotes.
  core::Result<std::string> word() {
    std::string result;
    if (!take('"')) {
      while (!rest_.empty() && is_plain(rest_.front())) {
        result += rest_.front();
        rest_.remove_prefix(1);
      }
      if (result.empty())
        return wrong("a word or a number is missing");
      return result;
    }
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"')
        return result;
      if (c == '\\' && !rest_.empty()) {
        result += rest_.front() == 'n' ? '\n' : rest_.front();
        rest_.remove_prefix(1);
      } else {
        result += c;
      }
    }
    return wrong("a quote is not closed");
  }

  template <class T>
  core::Result<InputSpec> number(Kind kind, const char* what) {
    auto digits = word();
    if (!digits)
      return fail(digits);
    T value{};
    const auto [end, error] =
        std::from_chars(digits->data(), digits->data() + digits->size(), value);
    if (error != std::errc() || end != digits->data() + digits->size())
      return wrong("'" + *digits + "' is not " + what);
    InputSpec spec;
    spec.kind = kind;
    spec.scalar = value;
    return spec;
  }

  core::Result<InputSpec> several(Kind kind, char close, int depth) {
    constexpr int deepest = 32;
    if (depth >= deepest)
      return wrong("values are nested deeper than 32 levels");
    InputSpec spec;
    spec.kind = kind;
    if (take(close))
      return spec;
    while (true) {
      std::string key;
      if (kind == Kind::dict) {
        auto name = word();
        if (!name)
          return fail(name);
        if (!take('='))
          return wrong("a key must be followed by '='");
        key = std::move(*name);
      }
      auto item = value(depth + 1);
      if (!item)
        return item;
      item->name = std::move(key);
      spec.items.push_back(std::move(*item));
      if (take(close))
        return spec;
      if (!take(','))
        return wrong("a list, tuple or dictionary is not closed");
    }
  }

  core::Result<InputSpec> value(int depth) {
    if (take('['))
      return several(Kind::list, ']', depth);
    if (take('('))
      return several(Kind::tuple, ')', depth);
    if (take('{'))
      return several(Kind::dict, '}', depth);
    InputSpec spec;
    if (take("none")) {
      spec.kind = Kind::none;
      return spec;
    }
    if (take("bool:")) {
      spec.kind = Kind::boolean;
      if (!take("true") && !take("false"))
        return wrong("a bool is true or false");
      spec.scalar = text_.substr(0, text_.size() - rest_.size()).ends_with("true");
      return spec;
    }
    if (take("int:"))
      return number<std::int64_t>(Kind::integer, "a whole number");
    if (take("float:"))
      return number<double>(Kind::real, "a number");
    if (take("str:")) {
      auto text = word();
      if (!text)
        return fail(text);
      spec.kind = Kind::text;
      spec.scalar = std::move(*text);
      return spec;
    }
    return tensor();
  }

  core::Result<InputSpec> tensor() {
    InputSpec spec;
    if (!take("scalar")) {
      constexpr std::int64_t most_elements = std::int64_t{1} << 32;
      std::int64_t elements = 1;
      do {
        std::int64_t size = 0;
        const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
        if (error != std::errc() || size < 1 || size > most_elements / elements)
          return wrong("not the sizes of an input");
        elements *= size;
        spec.sizes.push_back(size);
        rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      } while (take('x'));
    }
    if (!take(':'))
      return spec;
    auto name = word();
    if (!name)
      return fail(name);
    for (std::size_t i = 0; i < core::dtype_count; ++i) {
      if (core::to_string(static_cast<core::DType>(i)) == *name) {
        spec.dtype = static_cast<core::DType>(i);
        return spec;
      }
    }
    return wrong("there is no element type '" + *name + "'");
  }

  std::string_view text_, rest_;
};

std::string listed(const InputSpec& input, char open, char close) {
  std::string text(1, open);
  for (const InputSpec& item : input.items) {
    if (text.size() > 1)
      text += ',';
    if (input.kind == Kind::dict)
      text += quoted(item.name) + "=";
    text += to_string(item);
  }
  return text + close;
}

}  // namespace

core::Result<InputSpec> parse_input_spec(std::string_view text) {
  return Parser(text).run();
}

std::string to_string(const InputSpec& input) {
  switch (input.kind) {
    case Kind::tensor:
      break;
    case Kind::none:
      return "none";
    case Kind::boolean:
      return std::get<bool>(input.scalar) ? "bool:true" : "bool:false";
    case Kind::integer:
      return "int:" + std::to_string(std::get<std::int64_t>(input.scalar));
    case Kind::real: {
      std::array<char, 32> digits{};  // the shortest that reads back, which needs 24 at most
      std::to_chars(digits.data(), digits.data() + digits.size() - 1,
                    std::get<double>(input.scalar));
      std::string text = "float:";
      return text += digits.data();
    }
    case Kind::text: {
      std::string text = "str:";
      return text += quoted(std::get<std::string>(input.scalar));
    }
    case Kind::list:
      return listed(input, '[', ']');
    case Kind::tuple:
      return listed(input, '(', ')');
    case Kind::dict:
      return listed(input, '{', '}');
  }
  std::string text = input.sizes.empty() ? "scalar" : "";
  for (const std::int64_t size : input.sizes)
    text += (text.empty() ? "" : "x") + std::to_string(size);
  if (input.dtype != core::DType::float32)
    text += ":" + std::string(core::to_string(input.dtype));
  return text;
}

}  // namespace cleave::inline v0::model
