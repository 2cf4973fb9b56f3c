#include <cleave/exec/model_folder.hpp>

#include <sys/stat.h>

#include <algorithm>

namespace cleave::inline v0::exec {

namespace fs = std::filesystem;
using core::Errc;
using core::fail;

ModelFolder::ModelFolder(fs::path folder, ModelLoader load, std::shared_ptr<ModelStore> store)
    : folder_(std::move(folder)), load_(std::move(load)), store_(std::move(store)) {}

core::Result<std::vector<FolderChange>> ModelFolder::scan() {
  const std::lock_guard lock(mutex_);
  struct stat status {};
  if (::stat(folder_.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    return fail(Errc::not_found, "no such folder", folder_.string());
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(Errc::permission_denied, "others than its owner may put models into the folder",
                folder_.string(), "chmod go-w it");
  std::map<std::string, Stamp> there;
  std::error_code error;
  for (fs::directory_iterator entry(folder_, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path& path = entry->path();
    if ((path.extension() != ".pt" && path.extension() != ".onnx") ||
        path.filename().string().front() == '.' || ::stat(path.c_str(), &status) != 0)
      continue;
    there[path.string()] = {status.st_ino, static_cast<std::uint64_t>(status.st_size),
                            status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  }
  if (error)
    return fail(Errc::permission_denied, error.message(), folder_.string());

  std::vector<FolderChange> changes;
  for (const auto& [path, stamp] : there) {
    Known& known = known_[path];
    if (known.stamp == stamp)
      continue;
    known.stamp = stamp;
    auto model = load_(path);
    FolderChange change{path, nullptr, std::nullopt, std::nullopt};
    if (!model) {
      change.error = model.error();
    } else {
      const auto before = known.serves;
      known.serves = (*model)->fingerprint();
      store_->put(*model);
      change.added = std::move(*model);
      if (before && *before != *known.serves) {
        change.removed = before;
        let_go(*before);
      }
    }
    changes.push_back(std::move(change));
  }
  for (auto it = known_.begin(); it != known_.end();) {
    if (there.contains(it->first)) {
      ++it;
      continue;
    }
    const FolderChange change{it->first, nullptr, it->second.serves, std::nullopt};
    it = known_.erase(it);
    if (change.removed) {
      let_go(*change.removed);
      changes.push_back(change);
    }
  }
  return changes;
}

// Unless another file holds the same model.
void ModelFolder::let_go(core::Fingerprint model) {
  if (std::none_of(known_.begin(), known_.end(),
                   [&](const auto& known) { return known.second.serves == model; }))
    store_->remove(model);
}

}  // namespace cleave::inline v0::exec
