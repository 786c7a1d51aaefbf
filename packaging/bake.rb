class Bake < Formula
  desc "Bakes an OpenClaw Gateway for Google Compute Engine"
  homepage "@REPOSITORY@"
  version "@VERSION@"
  license "MIT"

  on_macos do
    on_arm do
      url "@DOWNLOADS@/bake-@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@SHA256:aarch64-apple-darwin@"
    end
    on_intel do
      url "@DOWNLOADS@/bake-@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@SHA256:x86_64-apple-darwin@"
    end
  end

  on_linux do
    on_arm do
      url "@DOWNLOADS@/bake-@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:aarch64-unknown-linux-gnu@"
    end
    on_intel do
      url "@DOWNLOADS@/bake-@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256:x86_64-unknown-linux-gnu@"
    end
  end

  def install
    bin.install "bake"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/bake.bash" => "bake"
    zsh_completion.install "completions/_bake"
    fish_completion.install "completions/bake.fish"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/bake --version")
    system bin/"bake", "init", "--yes", "project"
    system bin/"bake", "-C", "project", "render"
    assert_path_exists testpath/"project/out/user-data.yaml"
  end
end
