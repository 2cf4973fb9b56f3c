#include "lib/model/containers.hpp"

namespace cleave::inline v0::model {
namespace {

bool holds_undefined(const c10::IValue& value) {
  bool found = false;
  value.visit([&](const c10::IValue& inner) {
    found = found || (inner.isTensor() && !inner.toTensor().defined());
    return found;
  });
  return found;
}

c10::IValue tuple_like(const c10::IValue& value, std::vector<c10::IValue> items) {
  // libtorch has no type for a tuple that holds an undefined tensor, so it loses its names, which
  // only matter to Python.
  if (holds_undefined(value))
    return c10::ivalue::Tuple::create(std::move(items));
  const auto type = value.type()->expect<c10::TupleType>();
  return type->schema() ? c10::ivalue::Tuple::createNamed(std::move(items), type)
                        : c10::ivalue::Tuple::create(std::move(items));
}

}  // namespace

c10::IValue map_leaves(const c10::IValue& value,
                       const std::function<c10::IValue(const c10::IValue&)>& replace) {
  if (value.isList()) {
    const auto list = value.toList();
    c10::impl::GenericList copy(list.elementType());
    copy.reserve(list.size());
    for (std::size_t i = 0; i < list.size(); ++i) copy.push_back(map_leaves(list.get(i), replace));
    return copy;
  }
  if (value.isTuple()) {
    std::vector<c10::IValue> items;
    for (const auto& item : value.toTupleRef().elements())
      items.push_back(map_leaves(item, replace));
    return tuple_like(value, std::move(items));
  }
  if (value.isGenericDict()) {
    const auto dict = value.toGenericDict();
    c10::impl::GenericDict copy(dict.keyType(), dict.valueType());
    for (const auto& entry : dict) copy.insert(entry.key(), map_leaves(entry.value(), replace));
    return copy;
  }
  return replace(value);
}

}  // namespace cleave::inline v0::model
