#include "lib/model/example_inputs.hpp"

#include "lib/model/convert.hpp"

#include <charconv>
#include <cmath>
#include <numbers>
#include <optional>
#include <string>

namespace cleave::inline v0::model {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): small, and the same everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  double uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }
  /// Box and Muller (1958).
  double normal() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }

 private:
  std::uint64_t state_;
};

// Small enough to be an index into any vocabulary or table with more than one entry.
constexpr std::uint64_t integers_below = 2;

std::optional<std::int64_t> whole_number(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return number;
}

core::Value make(const InputSpec& spec, Random& random) {
  using Kind = InputSpec::Kind;
  switch (spec.kind) {
    case Kind::tensor:
      break;
    case Kind::none:
      return core::Value::None{};
    case Kind::boolean:
    case Kind::integer:
    case Kind::real:
    case Kind::text:
      return std::visit([](const auto& scalar) { return core::Value(scalar); }, spec.scalar);
    case Kind::list: {
      core::Value::List list;
      for (const InputSpec& item : spec.items) list.items.push_back(make(item, random));
      return list;
    }
    case Kind::tuple: {
      core::Value::Tuple tuple;
      for (const InputSpec& item : spec.items) tuple.items.push_back(make(item, random));
      return tuple;
    }
    case Kind::dict: {
      core::Value::Dict dict;
      // Keys are words, or whole numbers if all of them can be.
      bool numbers = !spec.items.empty();
      for (const InputSpec& item : spec.items)
        numbers = numbers && whole_number(item.name).has_value();
      for (const InputSpec& item : spec.items)
        dict.items.emplace_back(
            numbers ? core::Value(*whole_number(item.name)) : core::Value(item.name),
            make(item, random));
      return dict;
    }
  }
  const c10::ScalarType type = to_scalar_type(spec.dtype);
  const bool real = c10::isFloatingType(type) || c10::isComplexType(type);
  core::Tensor numbers = core::empty_tensor(core::DType::float64, spec.sizes);
  for (std::size_t i = 0; i < numbers.numel(); ++i)
    numbers.data_as<double>()[i] =
        real ? random.normal() : static_cast<double>(random.next() % integers_below);
  return *FromTorch().tensor(
      ToTorch().tensor(numbers).to(type, /*non_blocking=*/false, /*copy=*/true));
}

}  // namespace

core::Values make_example_inputs(std::span<const InputSpec> specs, std::uint64_t seed) {
  Random random(seed);
  core::Values values;
  for (const InputSpec& spec : specs) values.push_back(make(spec, random));
  return values;
}

}  // namespace cleave::inline v0::model
