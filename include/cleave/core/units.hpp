// Quantities with their unit in the type, so that a joule is never taken for a watt.
#pragma once

#include <compare>

namespace cleave::inline v0::core {

/// A double that carries its unit. All operations are exact in the sense of double arithmetic;
/// a Bytes value is exact up to 2^53.
template <class Tag>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(double value) : value_(value) {}

  /// The number in the unit's SI base (seconds, joules, watts, bytes, hertz, bytes per second).
  [[nodiscard]] constexpr double count() const { return value_; }

  constexpr Quantity& operator+=(Quantity o) {
    value_ += o.value_;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity o) {
    value_ -= o.value_;
    return *this;
  }
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value_ + b.value_);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value_ - b.value_);
  }
  friend constexpr Quantity operator-(Quantity a) { return Quantity(-a.value_); }
  friend constexpr Quantity operator*(Quantity a, double b) { return Quantity(a.value_ * b); }
  friend constexpr Quantity operator*(double a, Quantity b) { return Quantity(a * b.value_); }
  friend constexpr Quantity operator/(Quantity a, double b) { return Quantity(a.value_ / b); }
  friend constexpr double operator/(Quantity a, Quantity b) { return a.value_ / b.value_; }
  friend constexpr auto operator<=>(Quantity a, Quantity b) = default;

 private:
  double value_ = 0;
};

using Seconds = Quantity<struct SecondsTag>;
using Joules = Quantity<struct JoulesTag>;
using Watts = Quantity<struct WattsTag>;
using Bytes = Quantity<struct BytesTag>;
using Hertz = Quantity<struct HertzTag>;
using BytesPerSecond = Quantity<struct BytesPerSecondTag>;
using JoulesPerByte = Quantity<struct JoulesPerByteTag>;

constexpr Joules operator*(Watts p, Seconds t) {
  return Joules(p.count() * t.count());
}
constexpr Joules operator*(Seconds t, Watts p) {
  return p * t;
}
constexpr Watts operator/(Joules e, Seconds t) {
  return Watts(e.count() / t.count());
}
constexpr Seconds operator/(Bytes n, BytesPerSecond rate) {
  return Seconds(n.count() / rate.count());
}
constexpr BytesPerSecond operator/(Bytes n, Seconds t) {
  return BytesPerSecond(n.count() / t.count());
}
constexpr Joules operator*(JoulesPerByte e, Bytes n) {
  return Joules(e.count() * n.count());
}

constexpr Seconds milliseconds(double n) {
  return Seconds(n * 1e-3);
}
constexpr Seconds microseconds(double n) {
  return Seconds(n * 1e-6);
}
/// n decimal megabits per second, as link rates are quoted.
constexpr BytesPerSecond megabits_per_second(double n) {
  return BytesPerSecond(n * 1e6 / 8);
}

}  // namespace cleave::inline v0::core
