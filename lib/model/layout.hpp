// Tensors in the layouts that kernels want.
#pragma once

#include "lib/model/buffer_pool.hpp"
#include "lib/model/dnnl.hpp"
#include "lib/model/torch_pch.hpp"

namespace cleave::inline v0::model {

/// What a step takes or gives. A tensor of Layout::blocked has five dimensions, of which the last
/// is the block; all others are ordinary strided tensors.
using dnn::Layout;

/// Whether kernels can read its elements where they lie: single precision, in main memory, not to
/// be negated by the reader.
bool is_readable(const at::Tensor& tensor);
/// Readable, of four dimensions, not empty.
bool is_image(const at::Tensor& tensor);
/// Whether it can be what Layout::blocked says of it. Where a plan expects blocks, a tensor may lie
/// plain all the same: one that cannot lie in blocks, being empty, of another element type or
/// number of channels.
bool is_blocked(const at::Tensor& tensor);
/// By the layout that is expected: is_blocked() or is_image().
bool fits_layout(const at::Tensor& tensor, Layout layout);

/// The sizes of what a tensor that fits the layout stands for.
dnn::Sizes logical_sizes(const at::Tensor& tensor, Layout layout);

/// An uninitialised tensor of these logical sizes (two or four of them).
at::Tensor make(BufferPool& pool, const dnn::Sizes& sizes, Layout layout);

/// The tensor in the wanted layout: itself where it lies so already (plain and channels_last are
/// told by the strides, blocked by `from` and is_blocked()). Tensors that are no images become
/// contiguous for plain and stay as they are for the others, and so do images for blocked whose
/// channels are no whole number of blocks.
at::Tensor to_layout(BufferPool& pool, const at::Tensor& tensor, Layout from, Layout to);

/// As to_layout(tensor, plain, plain) for every tensor inside lists, tuples and dictionaries.
c10::IValue to_plain(const c10::IValue& value);

}  // namespace cleave::inline v0::model
