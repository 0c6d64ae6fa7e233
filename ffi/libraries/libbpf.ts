import { openLibrary } from "./library.ts";

/** Functions of libbpf 1.1 or newer. The safe layer over them is `bpf/`. */
const symbols = {
  /** libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t fn) */
  libbpf_set_print: { parameters: ["pointer"], result: "pointer" },

  /** struct bpf_object *bpf_object__open_mem(const void *obj_buf, size_t obj_buf_sz, const struct bpf_object_open_opts *opts) */
  bpf_object__open_mem: { parameters: ["buffer", "usize", "pointer"], result: "pointer" },
  /** long libbpf_get_error(const void *ptr) */
  libbpf_get_error: { parameters: ["pointer"], result: "i64" },
  /** int bpf_object__load(struct bpf_object *obj) */
  bpf_object__load: { parameters: ["pointer"], result: "i32" },
  /** void bpf_object__close(struct bpf_object *object) */
  bpf_object__close: { parameters: ["pointer"], result: "void" },

  /** struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *obj, const char *name) */
  bpf_object__find_map_by_name: { parameters: ["pointer", "buffer"], result: "pointer" },
  /** struct bpf_map *bpf_object__next_map(const struct bpf_object *obj, const struct bpf_map *map) */
  bpf_object__next_map: { parameters: ["pointer", "pointer"], result: "pointer" },
  /** const char *bpf_map__name(const struct bpf_map *map) */
  bpf_map__name: { parameters: ["pointer"], result: "pointer" },
  /** int bpf_map__fd(const struct bpf_map *map) */
  bpf_map__fd: { parameters: ["pointer"], result: "i32" },
  /** __u32 bpf_map__key_size(const struct bpf_map *map) */
  bpf_map__key_size: { parameters: ["pointer"], result: "u32" },
  /** __u32 bpf_map__value_size(const struct bpf_map *map) */
  bpf_map__value_size: { parameters: ["pointer"], result: "u32" },
  /** __u32 bpf_map__max_entries(const struct bpf_map *map) */
  bpf_map__max_entries: { parameters: ["pointer"], result: "u32" },
  /** enum bpf_map_type bpf_map__type(const struct bpf_map *map) */
  bpf_map__type: { parameters: ["pointer"], result: "u32" },
  /** __u32 bpf_map__map_flags(const struct bpf_map *map) */
  bpf_map__map_flags: { parameters: ["pointer"], result: "u32" },
  /** __u32 bpf_map__btf_key_type_id(const struct bpf_map *map) */
  bpf_map__btf_key_type_id: { parameters: ["pointer"], result: "u32" },
  /** __u32 bpf_map__btf_value_type_id(const struct bpf_map *map) */
  bpf_map__btf_value_type_id: { parameters: ["pointer"], result: "u32" },
  /** struct btf *bpf_object__btf(const struct bpf_object *obj) */
  bpf_object__btf: { parameters: ["pointer"], result: "pointer" },
  /** const void *btf__raw_data(const struct btf *btf, __u32 *size) */
  btf__raw_data: { parameters: ["pointer", "buffer"], result: "pointer" },
  /** int bpf_map__set_max_entries(struct bpf_map *map, __u32 max_entries) */
  bpf_map__set_max_entries: { parameters: ["pointer", "u32"], result: "i32" },
  /** int bpf_map__set_pin_path(struct bpf_map *map, const char *path) */
  bpf_map__set_pin_path: { parameters: ["pointer", "buffer"], result: "i32" },

  /** struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *obj, const char *name) */
  bpf_object__find_program_by_name: { parameters: ["pointer", "buffer"], result: "pointer" },
  /** struct bpf_program *bpf_object__next_program(const struct bpf_object *obj, struct bpf_program *prog) */
  bpf_object__next_program: { parameters: ["pointer", "pointer"], result: "pointer" },
  /** const char *bpf_program__name(const struct bpf_program *prog) */
  bpf_program__name: { parameters: ["pointer"], result: "pointer" },
  /** int bpf_program__fd(const struct bpf_program *prog) */
  bpf_program__fd: { parameters: ["pointer"], result: "i32" },
  /** int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts) */
  bpf_prog_test_run_opts: { parameters: ["i32", "buffer"], result: "i32" },

  /** int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags) */
  bpf_map_update_elem: { parameters: ["i32", "buffer", "buffer", "u64"], result: "i32" },
  /** int bpf_map_lookup_elem(int fd, const void *key, void *value) */
  bpf_map_lookup_elem: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  /** int bpf_map_delete_elem(int fd, const void *key) */
  bpf_map_delete_elem: { parameters: ["i32", "buffer"], result: "i32" },
  /** int bpf_map_get_next_key(int fd, const void *key, void *next_key) */
  bpf_map_get_next_key: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  /** int bpf_map_update_batch(int fd, const void *keys, const void *values, __u32 *count, const struct bpf_map_batch_opts *opts) */
  bpf_map_update_batch: { parameters: ["i32", "buffer", "buffer", "buffer", "buffer"], result: "i32" },
  /** int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, __u32 *count, const struct bpf_map_batch_opts *opts) */
  bpf_map_lookup_batch: {
    parameters: ["i32", "buffer", "buffer", "buffer", "buffer", "buffer", "buffer"],
    result: "i32",
  },
  /** int bpf_map_delete_batch(int fd, const void *keys, __u32 *count, const struct bpf_map_batch_opts *opts) */
  bpf_map_delete_batch: { parameters: ["i32", "buffer", "buffer", "buffer"], result: "i32" },

  /** int bpf_map_create(enum bpf_map_type map_type, const char *map_name, __u32 key_size, __u32 value_size, __u32 max_entries, const struct bpf_map_create_opts *opts) */
  bpf_map_create: { parameters: ["u32", "buffer", "u32", "u32", "u32", "buffer"], result: "i32" },

  /** int bpf_obj_pin(int fd, const char *pathname) */
  bpf_obj_pin: { parameters: ["i32", "buffer"], result: "i32" },
  /** int bpf_btf_get_fd_by_id(__u32 id) */
  bpf_btf_get_fd_by_id: { parameters: ["u32"], result: "i32" },
  /** int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value) */
  bpf_map_lookup_and_delete_elem: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  /** int bpf_obj_get(const char *pathname) */
  bpf_obj_get: { parameters: ["buffer"], result: "i32" },
  /** int bpf_obj_get_info_by_fd(int bpf_fd, void *info, __u32 *info_len) */
  bpf_obj_get_info_by_fd: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  /** int bpf_link_create(int prog_fd, int target_fd, enum bpf_attach_type attach_type, const struct bpf_link_create_opts *opts) */
  bpf_link_create: { parameters: ["i32", "i32", "i32", "pointer"], result: "i32" },
  /** int bpf_link_update(int link_fd, int new_prog_fd, const struct bpf_link_update_opts *opts) */
  bpf_link_update: { parameters: ["i32", "i32", "pointer"], result: "i32" },
  /** int bpf_link_detach(int link_fd) */
  bpf_link_detach: { parameters: ["i32"], result: "i32" },
  /** int bpf_link_get_next_id(__u32 start_id, __u32 *next_id) */
  bpf_link_get_next_id: { parameters: ["u32", "buffer"], result: "i32" },
  /** int bpf_link_get_fd_by_id(__u32 id) */
  bpf_link_get_fd_by_id: { parameters: ["u32"], result: "i32" },
  /** int bpf_prog_get_next_id(__u32 start_id, __u32 *next_id) */
  bpf_prog_get_next_id: { parameters: ["u32", "buffer"], result: "i32" },
  /** int bpf_prog_get_fd_by_id(__u32 id) */
  bpf_prog_get_fd_by_id: { parameters: ["u32"], result: "i32" },
  /** int bpf_map_get_fd_by_id(__u32 id) */
  bpf_map_get_fd_by_id: { parameters: ["u32"], result: "i32" },
  /** int bpf_iter_create(int link_fd) */
  bpf_iter_create: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof symbols>["symbols"] | undefined;

/** @throws LibraryError that names the library and its package if it cannot be loaded. */
export function libbpf(): Deno.DynamicLibrary<typeof symbols>["symbols"] {
  return opened ??= open();
}

function open(): Deno.DynamicLibrary<typeof symbols>["symbols"] {
  // Dependencies first, so that the loader finds the embedded copies. libelf needs zlib, too.
  openLibrary({ soname: "libz.so.1", debianPackage: "zlib1g" }, {});
  openLibrary({ soname: "libelf.so.1", debianPackage: "libelf1" }, {});
  const library = openLibrary({ soname: "libbpf.so.1", debianPackage: "libbpf1" }, symbols);
  // Silences libbpf, which writes to standard error by default and would wait for the reader of a full pipe.
  library.libbpf_set_print(null);
  return library;
}
