#include "lib/model/convert.hpp"

#include "lib/model/guard.hpp"

#include <cleave/model/torch.hpp>

namespace cleave::inline v0::model {
namespace {

using core::Errc;
using core::fail;
using core::Result;

// A storage of libtorch's, kept alive for core.
class TorchStorage final : public core::Storage {
 public:
  explicit TorchStorage(c10::Storage storage) : storage_(std::move(storage)) {}
  std::byte* data() override {
    return static_cast<std::byte*>(storage_.unsafeGetStorageImpl()->data_ptr().get());
  }
  [[nodiscard]] std::size_t size() const override { return storage_.nbytes(); }
  [[nodiscard]] const c10::Storage& get() const { return storage_; }

 private:
  c10::Storage storage_;
};

void release(void* context) {
  delete static_cast<std::shared_ptr<core::Storage>*>(context);
}

// Views the bytes of any core storage as one of libtorch's, which keeps the first alive.
c10::Storage borrow(const std::shared_ptr<core::Storage>& storage) {
  if (const auto* torch_storage = dynamic_cast<const TorchStorage*>(storage.get()))
    return torch_storage->get();
  auto owner = std::make_unique<std::shared_ptr<core::Storage>>(storage);
  c10::DataPtr data(storage->data(), owner.get(), &release, c10::Device(c10::DeviceType::CPU));
  owner.release();  // the DataPtr has it now
  return c10::Storage(c10::Storage::use_byte_size_t(), storage->size(), std::move(data),
                      /*allocator=*/nullptr, /*resizable=*/false);
}

// The type that a list's or dictionary's text names; null if it is none that crosses.
c10::TypePtr named_type(const std::string& text) {
  if (text == "int")
    return c10::IntType::get();
  if (text == "float")
    return c10::FloatType::get();
  if (text == "bool")
    return c10::BoolType::get();
  if (text == "str")
    return c10::StringType::get();
  if (text == "Tensor")
    return c10::TensorType::get();
  constexpr std::string_view list_suffix = "[]";
  if (text.size() > list_suffix.size() && text.ends_with(list_suffix)) {
    if (auto element = named_type(text.substr(0, text.size() - list_suffix.size())))
      return c10::ListType::create(element);
  }
  return nullptr;
}

// The type of a value that has none declared, from what it holds; null if it cannot be told.
c10::TypePtr inferred_type(const c10::IValue& value) {
  try {
    return value.type();
  } catch (const std::exception&) {
    return nullptr;
  }
}

core::Error wrong_kind(const c10::TypePtr& type, const char* given) {
  return core::Error{Errc::invalid_argument,
                     "a value of type " + type->str() + " is needed, not " + given, "", ""};
}

// What lies inside an Optional, since None was dealt with before.
c10::TypePtr without_optional(const c10::TypePtr& type) {
  if (type) {
    if (const auto optional = type->cast<c10::OptionalType>())
      return optional->getElementType();
  }
  return type;
}

}  // namespace

std::optional<core::DType> to_dtype(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Byte:
      return core::DType::uint8;
    case c10::ScalarType::Char:
      return core::DType::int8;
    case c10::ScalarType::Short:
      return core::DType::int16;
    case c10::ScalarType::Int:
      return core::DType::int32;
    case c10::ScalarType::Long:
      return core::DType::int64;
    case c10::ScalarType::Half:
      return core::DType::float16;
    case c10::ScalarType::BFloat16:
      return core::DType::bfloat16;
    case c10::ScalarType::Float:
      return core::DType::float32;
    case c10::ScalarType::Double:
      return core::DType::float64;
    case c10::ScalarType::Bool:
      return core::DType::boolean;
    case c10::ScalarType::ComplexFloat:
      return core::DType::complex64;
    case c10::ScalarType::ComplexDouble:
      return core::DType::complex128;
    default:
      return std::nullopt;
  }
}

c10::ScalarType to_scalar_type(core::DType dtype) {
  switch (dtype) {
    case core::DType::uint8:
      return c10::ScalarType::Byte;
    case core::DType::int8:
      return c10::ScalarType::Char;
    case core::DType::int16:
      return c10::ScalarType::Short;
    case core::DType::int32:
      return c10::ScalarType::Int;
    case core::DType::int64:
      return c10::ScalarType::Long;
    case core::DType::float16:
      return c10::ScalarType::Half;
    case core::DType::bfloat16:
      return c10::ScalarType::BFloat16;
    case core::DType::float32:
      return c10::ScalarType::Float;
    case core::DType::float64:
      return c10::ScalarType::Double;
    case core::DType::boolean:
      return c10::ScalarType::Bool;
    case core::DType::complex64:
      return c10::ScalarType::ComplexFloat;
    case core::DType::complex128:
      return c10::ScalarType::ComplexDouble;
  }
  return c10::ScalarType::Undefined;
}

Result<core::Tensor> FromTorch::tensor(const at::Tensor& tensor) {
  if (!tensor.defined())
    return fail(Errc::unsupported, "an undefined tensor cannot leave the model");
  if (tensor.layout() != c10::kStrided || !tensor.device().is_cpu())
    return fail(Errc::unsupported, "only dense tensors in main memory can leave the model");
  const auto dtype = to_dtype(tensor.scalar_type());
  if (!dtype)
    return fail(Errc::unsupported, std::string("tensors of type ") +
                                       c10::toString(tensor.scalar_type()) +
                                       " cannot leave the model");
  // A lazily conjugated or negated view is not its bytes.
  const at::Tensor plain = tensor.resolve_conj().resolve_neg();
  auto& storage = storages_[plain.storage().unsafeGetStorageImpl()];
  if (!storage)
    storage = std::make_shared<TorchStorage>(plain.storage());
  return core::make_tensor(*dtype, plain.sizes().vec(), plain.strides().vec(),
                           static_cast<std::size_t>(plain.storage_offset()) * core::size_of(*dtype),
                           storage);
}

Result<core::Value> FromTorch::value(const c10::IValue& value) {
  if (value.isTensor()) {
    auto converted = tensor(value.toTensor());
    if (!converted)
      return fail(converted);
    return core::Value(std::move(*converted));
  }
  if (value.isNone())
    return core::Value(core::Value::None{});
  if (value.isBool())
    return core::Value(value.toBool());
  if (value.isInt())
    return core::Value(value.toInt());
  if (value.isDouble())
    return core::Value(value.toDouble());
  if (value.isString())
    return core::Value(value.toStringRef());
  if (value.isDevice())
    return core::Value(value.toDevice().str());
  if (value.isList()) {
    const auto items = value.toList();
    core::Value::List list;
    list.element = items.elementType()->str();
    for (std::size_t i = 0; i < items.size(); ++i) {
      auto item = this->value(items.get(i));
      if (!item)
        return item;
      list.items.push_back(std::move(*item));
    }
    return core::Value(std::move(list));
  }
  if (value.isTuple()) {
    core::Value::Tuple tuple;
    for (const auto& element : value.toTupleRef().elements()) {
      auto item = this->value(element);
      if (!item)
        return item;
      tuple.items.push_back(std::move(*item));
    }
    return core::Value(std::move(tuple));
  }
  if (value.isGenericDict()) {
    const auto entries = value.toGenericDict();
    core::Value::Dict dict;
    dict.key = entries.keyType()->str();
    dict.value = entries.valueType()->str();
    for (const auto& entry : entries) {
      auto key = this->value(entry.key());
      if (!key)
        return key;
      auto item = this->value(entry.value());
      if (!item)
        return item;
      dict.items.emplace_back(std::move(*key), std::move(*item));
    }
    return core::Value(std::move(dict));
  }
  if (value.tagKind() == "Uninitialized")
    return core::Value(core::Value::Uninitialized{});
  return fail(Errc::unsupported, "a value of type " + value.tagKind() + " cannot leave the model");
}

at::Tensor ToTorch::tensor(const core::Tensor& tensor) {
  auto& storage = storages_[tensor.storage.get()];
  if (!storage)
    storage = borrow(tensor.storage);
  at::Tensor view = at::empty({0}, at::TensorOptions().dtype(to_scalar_type(tensor.dtype)));
  view.set_(storage, static_cast<std::int64_t>(tensor.byte_offset / core::size_of(tensor.dtype)),
            tensor.sizes, tensor.strides);
  return view;
}

Result<c10::IValue> ToTorch::value(const core::Value& value, const c10::TypePtr& declared) {
  using core::Value;
  if (std::holds_alternative<Value::None>(value.data)) {
    if (declared && !c10::NoneType::get()->isSubtypeOf(*declared))
      return tl::unexpected(wrong_kind(declared, "None"));
    return c10::IValue();
  }
  if (std::holds_alternative<Value::Uninitialized>(value.data))
    return c10::IValue::uninitialized();
  const c10::TypePtr type = without_optional(declared);
  const auto fits = [&](const c10::TypePtr& actual) {
    return !type || type->kind() == c10::TypeKind::AnyType || actual->isSubtypeOf(*type);
  };
  if (const auto* tensor = value.tensor()) {
    if (!fits(c10::TensorType::get()) && type->kind() != c10::TypeKind::TensorType)
      return tl::unexpected(wrong_kind(type, "a tensor"));
    if (tensor->byte_offset % core::size_of(tensor->dtype) != 0)
      return fail(Errc::invalid_argument, "a tensor must start at a multiple of its element size");
    return c10::IValue(this->tensor(*tensor));
  }
  if (const auto* flag = std::get_if<bool>(&value.data)) {
    if (!fits(c10::BoolType::get()))
      return tl::unexpected(wrong_kind(type, "a bool"));
    return c10::IValue(*flag);
  }
  if (const auto* number = std::get_if<std::int64_t>(&value.data)) {
    if (!fits(c10::IntType::get()))
      return tl::unexpected(wrong_kind(type, "an int"));
    return c10::IValue(*number);
  }
  if (const auto* number = std::get_if<double>(&value.data)) {
    if (!fits(c10::FloatType::get()))
      return tl::unexpected(wrong_kind(type, "a float"));
    return c10::IValue(*number);
  }
  if (const auto* text = std::get_if<std::string>(&value.data)) {
    if (type && type->kind() == c10::TypeKind::DeviceObjType)
      return c10::IValue(c10::Device(*text));
    if (!fits(c10::StringType::get()))
      return tl::unexpected(wrong_kind(type, "a string"));
    return c10::IValue(*text);
  }
  if (const auto* items = std::get_if<Value::List>(&value.data))
    return list(*items, type);
  if (const auto* items = std::get_if<Value::Tuple>(&value.data))
    return tuple(*items, type);
  return dict(std::get<Value::Dict>(value.data), type);
}

Result<c10::IValue> ToTorch::list(const core::Value::List& list, const c10::TypePtr& type) {
  c10::TypePtr element;
  if (type && type->kind() != c10::TypeKind::AnyType) {
    const auto list_type = type->cast<c10::ListType>();
    if (!list_type)
      return tl::unexpected(wrong_kind(type, "a list"));
    element = list_type->getElementType();
  } else {
    element = named_type(list.element);
  }
  std::vector<c10::IValue> items;
  items.reserve(list.items.size());
  for (const auto& item : list.items) {
    auto converted = value(item, element);
    if (!converted)
      return converted;
    items.push_back(std::move(*converted));
  }
  if (!element && !items.empty())
    element = inferred_type(items.front());
  if (!element)
    return fail(Errc::invalid_argument, "the element type of a list is not known");
  c10::impl::GenericList built(element);
  for (auto& item : items) built.push_back(std::move(item));
  return c10::IValue(std::move(built));
}

Result<c10::IValue> ToTorch::tuple(const core::Value::Tuple& tuple, const c10::TypePtr& type) {
  std::vector<c10::TypePtr> elements(tuple.items.size());
  c10::TupleTypePtr tuple_type;
  if (type && type->kind() != c10::TypeKind::AnyType) {
    tuple_type = type->cast<c10::TupleType>();
    if (!tuple_type || tuple_type->elements().size() != tuple.items.size())
      return tl::unexpected(wrong_kind(type, "a tuple"));
    elements = tuple_type->elements().vec();
  }
  std::vector<c10::IValue> items;
  items.reserve(tuple.items.size());
  for (std::size_t i = 0; i < tuple.items.size(); ++i) {
    auto converted = value(tuple.items[i], elements[i]);
    if (!converted)
      return converted;
    items.push_back(std::move(*converted));
  }
  if (tuple_type && tuple_type->schema())
    return c10::IValue(c10::ivalue::Tuple::createNamed(std::move(items), tuple_type));
  return c10::IValue(c10::ivalue::Tuple::create(std::move(items)));
}

Result<c10::IValue> ToTorch::dict(const core::Value::Dict& dict, const c10::TypePtr& type) {
  c10::TypePtr key_type;
  c10::TypePtr value_type;
  if (type && type->kind() != c10::TypeKind::AnyType) {
    const auto dict_type = type->cast<c10::DictType>();
    if (!dict_type)
      return tl::unexpected(wrong_kind(type, "a dictionary"));
    key_type = dict_type->getKeyType();
    value_type = dict_type->getValueType();
  } else {
    key_type = named_type(dict.key);
    value_type = named_type(dict.value);
  }
  if (!key_type || !value_type)
    return fail(Errc::invalid_argument, "the types of a dictionary are not known");
  c10::impl::GenericDict built(key_type, value_type);
  for (const auto& [key, item] : dict.items) {
    auto converted_key = value(key, key_type);
    if (!converted_key)
      return converted_key;
    auto converted = value(item, value_type);
    if (!converted)
      return converted;
    built.insert_or_assign(std::move(*converted_key), std::move(*converted));
  }
  return c10::IValue(std::move(built));
}

Result<core::Tensor> from_torch(const at::Tensor& tensor) {
  return guarded(Errc::internal, "", [&] { return FromTorch().tensor(tensor); });
}

at::Tensor to_torch(const core::Tensor& tensor) {
  return ToTorch().tensor(tensor);
}

Result<core::Value> from_torch(const c10::IValue& value) {
  return guarded(Errc::internal, "", [&] { return FromTorch().value(value); });
}

Result<c10::IValue> to_torch(const core::Value& value, const c10::TypePtr& type) {
  return guarded(Errc::invalid_argument, "", [&] { return ToTorch().value(value, type); });
}

}  // namespace cleave::inline v0::model
