// Memory for the values between a plan's steps, used again as soon as a value is let go of.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace cleave::inline v0::model {

/// Blocks of memory by size. A block goes back to the pool with the last tensor that views it, on
/// whatever thread, also after the pool's owner is gone. What the pool holds, in use or not, is at
/// most half as much again as was in use at one time. Thread-safe.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  BufferPool();
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// An uninitialised float tensor. Throws std::bad_alloc.
  at::Tensor tensor(at::IntArrayRef sizes, at::IntArrayRef strides, std::size_t elements);
  /// At least `bytes`, 64-byte aligned, for one step's own use.
  c10::DataPtr bytes(std::size_t bytes);

  /// Whether the tensor's memory is a pool's and nobody else sees it, so that it may be overwritten
  /// by whoever holds the tensor.
  static bool owns_alone(const at::Tensor& tensor);

 private:
  struct Block;
  static void give_back(void* block);

  std::mutex mutex_;
  std::vector<std::unique_ptr<Block>> free_;      // the longest unused first
  std::size_t blocks_ = 0;                        // in use and free
  std::size_t used_ = 0, unused_ = 0, peak_ = 0;  // bytes; the most that was in use
};

}  // namespace cleave::inline v0::model
