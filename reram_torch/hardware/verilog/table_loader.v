// The tables of a layer, a directory that says which converts, and what loads the words of a table
// into the controllers of all columns that share it, a word a clock.
//
// A directory entry, by {bucket, phase, slice}, is {number, first}: how many words, and where in the
// store. With none nothing is converted. What is in the controllers is not loaded again.
module table_loader #(
    parameter WORD = 8,
    parameter STORE = 4,      // bits of an address in the store
    parameter SLOT = 1,       // bits of an address in a controller
    parameter KEY = 6,        // bits of {bucket, phase, slice}
    parameter NUMBER = 2,     // bits of a number of words
    parameter ENTRY = NUMBER + STORE
) (
    input  wire             clk,
    // Writing store and directory.
    input  wire             write_word,
    input  wire             write_entry,
    input  wire [STORE-1:0] store_address,
    input  wire [KEY-1:0]   entry_address,
    input  wire [WORD-1:0]  new_word,
    input  wire [ENTRY-1:0] new_entry,
    // Loading, while all controllers are done.
    input  wire             load,
    input  wire [KEY-1:0]   key,
    output wire             ready,
    output reg              converts,
    // To the controllers.
    output wire             write,
    output reg  [SLOT-1:0]  write_address,
    output wire [WORD-1:0]  word
);
  reg [WORD-1:0] store[0:(1<<STORE)-1];
  reg [ENTRY-1:0] directory[0:(1<<KEY)-1];
  wire [NUMBER-1:0] number;
  wire [STORE-1:0] first;
  assign {number, first} = directory[key];

  reg loading, there;
  reg [STORE-1:0] at, loaded;
  reg [NUMBER-1:0] left;
  wire some = number != 0;
  wire known = there & (loaded == first);
  always @(posedge clk) begin
    if (write_word) store[store_address] <= new_word;
    if (write_entry) directory[entry_address] <= new_entry;
    if (write_word) there <= 1'b0;
    if (load) begin
      converts <= some;
      loading <= some & ~known;
      if (some & ~known) begin
        at <= first;
        loaded <= first;
        there <= 1'b1;
        left <= number;
        write_address <= 0;
      end
    end else if (loading) begin
      at <= at + 1'b1;
      left <= left - 1'b1;
      write_address <= write_address + 1'b1;
      loading <= left != 1;
    end
  end
  assign ready = ~loading;
  assign write = loading & ~clk;  // the second half of a clock: address and word are steady
  assign word = store[at];
endmodule
