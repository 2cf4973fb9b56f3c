#include <cleave/core/provenance.hpp>

#include <gtest/gtest.h>

namespace {

using namespace cleave::core;

const Provenance camera{
    "camera-1", "a small processor", 4, "cpu", {{"cleave", "0.1.0"}, {"libtorch", "1.13.1"}}};

TEST(Provenance, NamesEverythingThatDiffers) {
  EXPECT_EQ(differences(camera, camera), std::vector<std::string>());
  const Provenance other{
      "camera-2", "another", 2, "cuda:0", {{"libtorch", "2.6.0"}, {"cleave", "0.2.0"}}};
  EXPECT_EQ(differences(camera, other),
            (std::vector<std::string>{"machine camera-1, here camera-2",
                                      "processor a small processor, here another", "CPUs 4, here 2",
                                      "device cpu, here cuda:0", "cleave 0.1.0, here 0.2.0",
                                      "libtorch 1.13.1, here 2.6.0"}));
}

TEST(Provenance, WhatOneOfThemDoesNotKnowIsNotCompared) {
  EXPECT_EQ(differences(camera, {}), std::vector<std::string>());
  EXPECT_EQ(differences({}, camera), std::vector<std::string>());
  Provenance planner = camera;
  planner.device.clear();
  planner.libraries = {{"cleave", "0.1.0"}};
  EXPECT_EQ(differences(camera, planner), std::vector<std::string>());
  EXPECT_FALSE(Provenance().known());
  EXPECT_TRUE(planner.known());
}

TEST(Provenance, IsOneLineForPeople) {
  EXPECT_EQ(to_string(camera),
            "camera-1, a small processor, 4 CPUs, device cpu, cleave 0.1.0, libtorch 1.13.1");
  EXPECT_EQ(to_string(Provenance()), "unknown");
}

}  // namespace
