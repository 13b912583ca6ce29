#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cxxhash.h"

uint64_t cxxhash_64(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }

struct cxxhash_stream *cxxhash_begin(void)
{
  XXH3_state_t *state = XXH3_createState();
  if (state) XXH3_128bits_reset(state);
  return (struct cxxhash_stream *)state;
}

void cxxhash_add(struct cxxhash_stream *stream, const void *bytes, size_t count)
{
  XXH3_128bits_update((XXH3_state_t *)stream, bytes, count);
}

void cxxhash_digest(const struct cxxhash_stream *stream, uint8_t *digest)
{
  XXH128_canonicalFromHash((XXH128_canonical_t *)digest, XXH3_128bits_digest((const XXH3_state_t *)stream));
}

void cxxhash_end(struct cxxhash_stream *stream) { XXH3_freeState((XXH3_state_t *)stream); }
