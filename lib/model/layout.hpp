// Tensors in the layouts that kernels want.
#pragma once

#include "lib/model/buffer_pool.hpp"
#include "lib/model/dnnl.hpp"
#include "lib/model/torch_pch.hpp"

namespace cleave::inline v0::model {

/// What a step takes or gives. A tensor of Layout::blocked has five dimensions, of which the last
/// is the block; all others are ordinary strided tensors.
using dnn::Layout;

/// Whether kernels can take it: four dimensions, single precision, in main memory.
bool is_image(const at::Tensor& tensor);

/// The sizes of what a blocked tensor stands for, or a tensor's own.
dnn::Sizes logical_sizes(const at::Tensor& tensor, Layout layout);

/// An uninitialised tensor of these logical sizes (two or four of them).
at::Tensor make(BufferPool& pool, const dnn::Sizes& sizes, Layout layout);

/// The tensor in the wanted layout: itself where it lies so already (plain and channels_last are
/// told by the strides, blocked by `from`). Tensors that are no images become contiguous for plain
/// and stay as they are for the others.
at::Tensor to_layout(BufferPool& pool, const at::Tensor& tensor, Layout from, Layout to);

/// As to_layout(tensor, plain, plain) for every tensor inside lists, tuples and dictionaries.
c10::IValue to_plain(const c10::IValue& value);

}  // namespace cleave::inline v0::model
