// Whether the tensors that a pickle describes lie inside the bytes that the archive has for them.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cleave::inline v0::model {

/// Follows the pickle's instructions without making any object: what they push is only told apart
/// (numbers, texts, tuples, storages). Understands the instructions that libtorch's own reader
/// does; others are refused, as are stacks that run empty and references to what is not there.
/// `size_of` gives the bytes of a storage by its key, or nothing if there is no such storage.
/// Errc::corrupt, exhausted (more than 64 million values).
CLEAVE_EXPORT core::Result<void> check_pickle(
    std::span<const std::byte> pickle,
    const std::function<std::optional<std::uint64_t>(std::string_view key)>& size_of,
    const std::string& where);

}  // namespace cleave::inline v0::model
