#include "lib/model/agree.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace cleave::inline v0::model {

bool agree(const c10::IValue& a, const c10::IValue& b, double tolerance, bool near_ties) {
  if (a.isTensor() && b.isTensor()) {
    if (!a.toTensor().defined() || !b.toTensor().defined())
      return a.toTensor().defined() == b.toTensor().defined();
    if (a.toTensor().sizes() != b.toTensor().sizes() ||
        a.toTensor().dtype() != b.toTensor().dtype())
      return false;
    if (a.toTensor().numel() == 0)
      return true;
    if (tolerance == 0)
      return at::equal(a.toTensor(), b.toTensor());
    if (near_ties && !a.toTensor().is_floating_point() && !a.toTensor().is_complex())
      return true;
    const at::ScalarType wide = a.toTensor().is_complex() ? at::kComplexDouble : at::kDouble;
    const at::Tensor x = a.toTensor().to(wide), y = b.toTensor().to(wide);
    const double largest = at::nan_to_num(x.abs(), 0, 0, 0).max().item<double>();
    return at::allclose(x, y, tolerance, tolerance * largest, /*equal_nan=*/true);
  }
  if (a.isList() && b.isList()) {
    const auto x = a.toList(), y = b.toList();
    bool same = x.size() == y.size();
    for (std::size_t i = 0; same && i < x.size(); ++i)
      same = agree(x.get(i), y.get(i), tolerance, near_ties);
    return same;
  }
  if (a.isTuple() && b.isTuple()) {
    const auto& x = a.toTupleRef().elements();
    const auto& y = b.toTupleRef().elements();
    bool same = x.size() == y.size();
    for (std::size_t i = 0; same && i < x.size(); ++i)
      same = agree(x[i], y[i], tolerance, near_ties);
    return same;
  }
  if (a.isGenericDict() && b.isGenericDict()) {
    const auto x = a.toGenericDict(), y = b.toGenericDict();
    bool same = x.size() == y.size();
    for (const auto& entry : x) {
      const auto found = y.find(entry.key());
      same = same && found != y.end() && agree(entry.value(), found->value(), tolerance, near_ties);
    }
    return same;
  }
  if (a.isDouble() && b.isDouble() && tolerance > 0)
    return std::abs(a.toDouble() - b.toDouble()) <= tolerance * std::abs(a.toDouble()) ||
           (std::isnan(a.toDouble()) && std::isnan(b.toDouble()));
  if (a.isObject() && b.isObject()) {
    const auto& x = a.toObjectRef().slots();
    const auto& y = b.toObjectRef().slots();
    bool same = x.size() == y.size();
    for (std::size_t i = 0; same && i < x.size(); ++i) same = agree(x[i], y[i], tolerance);
    return same;
  }
  return a.tagKind() == b.tagKind() && a == b;
}

}  // namespace cleave::inline v0::model
