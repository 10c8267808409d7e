/* Draws a caption, without Python:  draw shapes.bundle "red ring striped blue" ring.ppm */
#include <coopdraw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void check(coopdraw_status status) {
  if (status != COOPDRAW_OK) exit((fprintf(stderr, "error: %s\n", coopdraw_error()), 2));
}

/* Gives what the text encoder makes of a caption to one guidance branch of the sampling graph. */
static void encode(coopdraw_session* encoder, coopdraw_session* sampling, const char* caption, const char* branch) {
  char name[256];
  check(coopdraw_set_caption(encoder, 0, caption));
  check(coopdraw_run(encoder, NULL, NULL));
  for (size_t i = 0; i < coopdraw_output_count(encoder); i++) {
    snprintf(name, sizeof(name), "%s.%s", coopdraw_output(encoder, i)->name, branch);
    check(coopdraw_set(sampling, name, coopdraw_output_data(encoder, i), coopdraw_output(encoder, i)->bytes));
  }
}

int main(int count, char** arguments) {
  const coopdraw_options text = {.graph = COOPDRAW_TEXT_ENCODER};
  coopdraw_session *encoder, *sampling;
  if (count != 4) return fprintf(stderr, "usage: draw BUNDLE CAPTION PICTURE.ppm\n"), 2;
  check(coopdraw_open(arguments[1], &text, &encoder));
  check(coopdraw_open(arguments[1], NULL, &sampling));
  encode(encoder, sampling, "", "uncond");
  encode(encoder, sampling, arguments[2], "text");
  const coopdraw_tensor *input = coopdraw_input(sampling, 0), *image = coopdraw_output(sampling, 0);
  float* noise = malloc(input->bytes); /* Box and Muller 1958: standard normal */
  srand(5); /* Lite, too, draws from rand */
  for (size_t i = 0; i < input->bytes / sizeof(float); i++)
    noise[i] = sqrtf(-2 * logf((rand() + 1.0f) / (RAND_MAX + 1.0f))) * cosf(6.2831853f * rand() / RAND_MAX);
  check(coopdraw_set(sampling, "noise", noise, input->bytes));
  check(coopdraw_run(sampling, NULL, NULL));
  const float* pixels = coopdraw_output_data(sampling, 0); /* (batch, 3, height, width) in [0, 1] */
  const int64_t height = image->shape[2], width = image->shape[3];
  FILE* file = fopen(arguments[3], "wb");
  if (!file) return perror(arguments[3]), 2;
  fprintf(file, "P6 %d %d 255\n", (int)width, (int)height);
  for (int64_t i = 0; i < 3 * height * width; i++)
    fputc((int)(255 * pixels[i % 3 * height * width + i / 3] + 0.5f), file);
  return fclose(file), free(noise), coopdraw_close(encoder), coopdraw_close(sampling), 0;
}
