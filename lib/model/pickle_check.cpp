#include "lib/model/pickle_check.hpp"

#include <cleave/core/bytes.hpp>

#include <array>
#include <memory>
#include <utility>
#include <vector>

namespace cleave::inline v0::model {
namespace {

using core::Errc;
using core::fail;
using core::Result;

// Values that are made in all, and how deep tuples nest: both bound what this check itself takes.
constexpr std::size_t most_values = std::size_t{1} << 23;
constexpr std::uint32_t deepest = 256;

struct Value {
  enum class Kind : std::uint8_t { other, mark, number, text, global, tuple, storage };
  Kind kind = Kind::other;
  std::uint32_t depth = 0;
  std::int64_t number = 0;     ///< a storage's elements
  std::string_view text = {};  ///< of a global: "module\nname"
  std::shared_ptr<const std::vector<Value>> items = nullptr;
};
using Kind = Value::Kind;

// Bytes an element of a storage class takes.
std::optional<std::uint64_t> element_size(std::string_view storage_class) {
  constexpr std::array<std::pair<std::string_view, std::uint64_t>, 18> sizes{{
      {"FloatStorage", 4},
      {"DoubleStorage", 8},
      {"HalfStorage", 2},
      {"BFloat16Storage", 2},
      {"LongStorage", 8},
      {"IntStorage", 4},
      {"ShortStorage", 2},
      {"CharStorage", 1},
      {"ByteStorage", 1},
      {"BoolStorage", 1},
      {"ComplexFloatStorage", 8},
      {"ComplexDoubleStorage", 16},
      {"QInt8Storage", 1},
      {"QUInt8Storage", 1},
      {"QInt32Storage", 4},
      {"QUInt4x2Storage", 1},
      {"QUInt2x4Storage", 1},
      {"UntypedStorage", 1},
  }};
  for (const auto& [name, size] : sizes)
    if (storage_class == name)
      return size;
  return std::nullopt;
}

class Reader {
 public:
  Reader(std::span<const std::byte> pickle,
         const std::function<std::optional<std::uint64_t>(std::string_view)>& size_of,
         const std::string& where)
      : bytes_(pickle), size_of_(size_of), where_(where) {}

  Result<void> run() {
    while (bytes_.ok() && problem_.empty()) {
      const auto code = bytes_.get<std::uint8_t>();
      if (!bytes_.ok())
        break;
      if (code == '.')
        return {};
      step(code);
      if (made_ > most_values)
        return fail(Errc::exhausted, "a pickle in the model file makes too many values", where_);
    }
    return fail(Errc::corrupt,
                "the model file is damaged: " +
                    (problem_.empty() ? std::string("a pickle in it ends early") : problem_),
                where_, "copy or export it again");
  }

 private:
  void refuse(const char* why) {
    if (problem_.empty())
      problem_ = why;
  }
  void push(Value value) {
    ++made_;
    stack_.push_back(std::move(value));
  }
  Value pop() {
    if (stack_.empty() || stack_.back().kind == Kind::mark) {
      refuse("a pickle in it takes what is not there");
      return {};
    }
    Value value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }
  // What lies above the last mark, which goes as well.
  std::vector<Value> pop_to_mark() {
    for (std::size_t i = stack_.size(); i-- > 0;) {
      if (stack_[i].kind != Kind::mark)
        continue;
      std::vector<Value> items(std::make_move_iterator(stack_.begin() + std::ptrdiff_t(i) + 1),
                               std::make_move_iterator(stack_.end()));
      stack_.resize(i);
      return items;
    }
    refuse("a pickle in it takes what is not there");
    return {};
  }
  void push_tuple(std::vector<Value> items) {
    Value tuple{.kind = Kind::tuple};
    for (const Value& item : items) tuple.depth = std::max(tuple.depth, item.depth + 1);
    if (tuple.depth > deepest)
      return refuse("a pickle in it nests too deep");
    tuple.items = std::make_shared<const std::vector<Value>>(std::move(items));
    push(std::move(tuple));
  }
  void push_tuple_of(std::size_t count) {
    std::vector<Value> items(count);
    for (std::size_t i = count; i-- > 0;) items[i] = pop();
    push_tuple(std::move(items));
  }
  std::string_view take_text(std::size_t size) {
    const auto text = bytes_.take(size);
    return {reinterpret_cast<const char*>(text.data()), text.size()};
  }
  void skip_line() {
    const auto rest = bytes_.rest();
    const auto* begin = reinterpret_cast<const char*>(rest.data());
    const std::size_t end = std::string_view(begin, rest.size()).find('\n');
    bytes_.take(end == std::string_view::npos ? rest.size() + 1 : end + 1);
  }
  // libtorch makes its table of remembered values as long as the largest number asks.
  void remember(std::uint64_t number) {
    if (stack_.empty())
      return refuse("a pickle in it takes what is not there");
    if (number > memo_.size())
      return refuse("a pickle in it numbers its values out of order");
    ++made_;
    if (number == memo_.size())
      memo_.push_back(stack_.back());
    else
      memo_[number] = stack_.back();
  }
  void recall(std::uint64_t number) {
    if (number >= memo_.size())
      return refuse("a pickle in it refers to what is not there");
    push(memo_[number]);
  }

  void step(std::uint8_t code) {
    switch (code) {
      case 0x80:  // PROTO
        bytes_.get<std::uint8_t>();
        return;
      case 'N':   // NONE
      case 0x88:  // NEWTRUE
      case 0x89:  // NEWFALSE
      case '}':   // EMPTY_DICT
      case ']':   // EMPTY_LIST
        return push({});
      case '(':  // MARK
        return push({.kind = Kind::mark});
      case 'K':  // BININT1
        return push({.kind = Kind::number, .number = bytes_.get<std::uint8_t>()});
      case 'M':  // BININT2
        return push({.kind = Kind::number, .number = bytes_.get<std::uint16_t>()});
      case 'J':  // BININT
        return push({.kind = Kind::number, .number = bytes_.get<std::int32_t>()});
      case 0x8a:  // LONG1: as libtorch writes it, always eight bytes
        if (bytes_.get<std::uint8_t>() != 8)
          return refuse("a pickle in it holds a number of another length than 8 bytes");
        return push({.kind = Kind::number, .number = bytes_.get<std::int64_t>()});
      case 'G':  // BINFLOAT
        bytes_.take(8);
        return push({});
      case 'X':  // BINUNICODE
        return push({.kind = Kind::text, .text = take_text(bytes_.get<std::uint32_t>())});
      case 'T':  // BINSTRING
        return push({.kind = Kind::text, .text = take_text(bytes_.get<std::uint32_t>())});
      case 'U':  // SHORT_BINSTRING
        return push({.kind = Kind::text, .text = take_text(bytes_.get<std::uint8_t>())});
      case ')':  // EMPTY_TUPLE
        return push_tuple({});
      case 't':  // TUPLE
        return push_tuple(pop_to_mark());
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        return push_tuple_of(code - 0x84U);
      case 'a':  // APPEND
        pop();
        return look_at_top();
      case 's':  // SETITEM
        pop();
        pop();
        return look_at_top();
      case 'e':  // APPENDS
      case 'u':  // SETITEMS
        pop_to_mark();
        return look_at_top();
      case 'q':  // BINPUT
        return remember(bytes_.get<std::uint8_t>());
      case 'r':  // LONG_BINPUT
        return remember(bytes_.get<std::uint32_t>());
      case 'h':  // BINGET
        return recall(bytes_.get<std::uint8_t>());
      case 'j':  // LONG_BINGET
        return recall(bytes_.get<std::uint32_t>());
      case 'c': {  // GLOBAL
        const char* begin = reinterpret_cast<const char*>(bytes_.rest().data());
        skip_line();
        skip_line();
        if (!bytes_.ok())
          return;
        const auto* end = reinterpret_cast<const char*>(bytes_.rest().data());
        return push({.kind = Kind::global,
                     .text = std::string_view(begin, static_cast<std::size_t>(end - begin - 1))});
      }
      case 'b':  // BUILD
        pop();
        return look_at_top();
      case 0x81:  // NEWOBJ
      case 'R':   // REDUCE
        return call();
      case 'Q':  // BINPERSID
        return make_storage();
      default:
        return refuse("a pickle in it holds an instruction that no model has");
    }
  }

  void look_at_top() {
    if (stack_.empty() || stack_.back().kind == Kind::mark)
      refuse("a pickle in it takes what is not there");
  }

  void call() {
    const Value arguments = pop();
    const Value function = pop();
    // libtorch keeps what a name stands for in a table and would take any number for an index.
    if (function.kind != Kind::global)
      return refuse("a pickle in it calls what is no function");
    if (arguments.kind == Kind::tuple && !arguments.items->empty() &&
        arguments.items->front().kind == Kind::storage && !fits(*arguments.items))
      return refuse("a tensor reaches past the end of its bytes");
    push({});
  }

  // torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, ...) and its like.
  static bool fits(const std::vector<Value>& arguments) {
    if (arguments.size() < 4 || arguments[1].kind != Kind::number ||
        arguments[2].kind != Kind::tuple || arguments[3].kind != Kind::tuple)
      return false;
    const auto& sizes = *arguments[2].items;
    const auto& strides = *arguments[3].items;
    if (sizes.size() != strides.size() || arguments[1].number < 0)
      return false;
    std::int64_t last = arguments[1].number, count = 1;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      std::int64_t step = 0;
      if (sizes[i].kind != Kind::number || strides[i].kind != Kind::number || sizes[i].number < 0 ||
          strides[i].number < 0 || __builtin_mul_overflow(count, sizes[i].number, &count))
        return false;
      if (sizes[i].number > 0 &&
          (__builtin_mul_overflow(sizes[i].number - 1, strides[i].number, &step) ||
           __builtin_add_overflow(last, step, &last)))
        return false;
    }
    return count == 0 || last < arguments[0].number;
  }

  // ("storage", class, key, device, elements)
  void make_storage() {
    const Value id = pop();
    if (id.kind != Kind::tuple || id.items->size() < 5)
      return refuse("a pickle in it names bytes in an unknown way");
    const auto& parts = *id.items;
    if (parts[0].text != "storage" || parts[1].kind != Kind::global ||
        parts[2].kind != Kind::text || parts[4].kind != Kind::number || parts[4].number < 0)
      return refuse("a pickle in it names bytes in an unknown way");
    const std::size_t newline = parts[1].text.find('\n');
    const auto each = element_size(parts[1].text.substr(newline + 1));
    if (!each)
      return refuse("it holds elements of an unknown type");
    std::uint64_t needed = 0;
    if (__builtin_mul_overflow(static_cast<std::uint64_t>(parts[4].number), *each, &needed))
      return refuse("a tensor is larger than memory can be");
    if (needed > 0) {
      const auto there = size_of_(parts[2].text);
      if (!there)
        return refuse("the bytes of a tensor are missing");
      if (*there < needed)
        return refuse("a tensor reaches past the end of its bytes");
    }
    push({.kind = Kind::storage, .number = parts[4].number});
  }

  core::ByteReader bytes_;
  const std::function<std::optional<std::uint64_t>(std::string_view)>& size_of_;
  const std::string& where_;
  std::vector<Value> stack_, memo_;
  std::size_t made_ = 0;
  std::string problem_;
};

}  // namespace

Result<void> check_pickle(
    std::span<const std::byte> pickle,
    const std::function<std::optional<std::uint64_t>(std::string_view key)>& size_of,
    const std::string& where) {
  return Reader(pickle, size_of, where).run();
}

}  // namespace cleave::inline v0::model
