#include "lib/model/buffer_pool.hpp"

#include "lib/model/memory_watch.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace cleave::inline v0::model {

struct BufferPool::Block {
  void* data = nullptr;
  std::size_t size = 0;
  std::shared_ptr<BufferPool> pool;  // while it is in use

  Block() = default;
  ~Block() { std::free(data); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
};

BufferPool::BufferPool() = default;
BufferPool::~BufferPool() = default;

void BufferPool::give_back(void* context) {
  std::unique_ptr<Block> block(static_cast<Block*>(context));
  const std::shared_ptr<BufferPool> pool = std::move(block->pool);
  MemoryWatch::note(-static_cast<std::int64_t>(block->size));
  const std::lock_guard lock(pool->mutex_);
  pool->used_ -= block->size;
  pool->unused_ += block->size;
  pool->free_.push_back(std::move(block));  // bytes() has reserved its place
  const std::size_t most = pool->peak_ + pool->peak_ / 2;
  std::size_t stale = 0;
  for (; pool->used_ + pool->unused_ > most && stale < pool->free_.size(); ++stale)
    pool->unused_ -= pool->free_[stale]->size;
  pool->free_.erase(pool->free_.begin(), pool->free_.begin() + static_cast<std::ptrdiff_t>(stale));
  pool->blocks_ -= stale;
}

c10::DataPtr BufferPool::bytes(std::size_t bytes) {
  // Sizes within an eighth of one another share blocks; a block half too large may serve, too.
  const std::size_t wanted = std::max<std::size_t>(bytes, 64);
  const std::size_t grain = std::max<std::size_t>(64, std::bit_floor(wanted) / 8);
  const std::size_t size = (wanted + grain - 1) / grain * grain;
  const std::lock_guard lock(mutex_);
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if ((*it)->size >= size && (*it)->size <= size + size / 2 &&
        (best == free_.end() || (*it)->size < (*best)->size))
      best = it;
  }
  std::unique_ptr<Block> block;
  if (best != free_.end()) {
    block = std::move(*best);
    free_.erase(best);
    unused_ -= block->size;
  } else {
    free_.reserve(blocks_ + 1);
    block = std::make_unique<Block>();
    block->data = std::aligned_alloc(64, size);
    if (!block->data)
      throw std::bad_alloc();
    block->size = size;
    ++blocks_;
  }
  MemoryWatch::note(static_cast<std::int64_t>(block->size));
  used_ += block->size;
  peak_ = std::max(peak_, used_);
  block->pool = shared_from_this();
  void* data = block->data;
  return {data, block.release(), &give_back, c10::Device(c10::DeviceType::CPU)};
}

at::Tensor BufferPool::tensor(at::IntArrayRef sizes, at::IntArrayRef strides,
                              std::size_t elements) {
  const std::size_t size = elements * sizeof(float);
  c10::Storage storage(c10::Storage::use_byte_size_t(), size, bytes(size), /*allocator=*/nullptr,
                       /*resizable=*/false);
  at::Tensor made = at::detail::make_tensor<c10::TensorImpl>(
      std::move(storage), c10::DispatchKeySet(c10::DispatchKey::CPU),
      caffe2::TypeMeta::Make<float>());
  made.unsafeGetTensorImpl()->set_sizes_and_strides(sizes, strides);
  return made;
}

bool BufferPool::owns_alone(const at::Tensor& tensor) {
  return tensor.use_count() == 1 && tensor.storage().use_count() == 1 &&
         tensor.storage().data_ptr().get_deleter() == &give_back;
}

}  // namespace cleave::inline v0::model
