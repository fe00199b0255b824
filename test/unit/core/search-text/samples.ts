/** Texts in the charsets of mail: the name as mail writes it, the text, its octets in hexadecimal (made with Python's codecs). */

export const CHARSET_SAMPLES: ReadonlyArray<readonly [charset: string, text: string, hex: string]> = [
  [
    "ISO-2022-JP",
    "会議の資料を送ります。よろしくお願いします。",
    "1b244232713544244e3b714e4124724177246a245e243921232468246d2437242f242a346a24242437245e243921231b2842",
  ],
  [
    "iso-2022-jp-ms",
    "会議の資料を送ります。よろしくお願いします。",
    "1b244232713544244e3b714e4124724177246a245e243921232468246d2437242f242a346a24242437245e243921231b2842",
  ],
  [
    "CP50220",
    "会議の資料を送ります。よろしくお願いします。",
    "1b244232713544244e3b714e4124724177246a245e243921232468246d2437242f242a346a24242437245e243921231b2842",
  ],
  ["ISO-2022-JP", "ｶﾀｶﾅ", "1b2849364036451b2842"],
  [
    "Shift_JIS",
    "会議の資料を送ります。よろしくお願いします。①㈱～",
    "89ef8b6382cc8e9197bf82f0919782e882dc82b7814282e682eb82b582ad82a88ae882a282b582dc82b781428740878a8160",
  ],
  [
    "cp932",
    "会議の資料を送ります。よろしくお願いします。①㈱～",
    "89ef8b6382cc8e9197bf82f0919782e882dc82b7814282e682eb82b582ad82a88ae882a282b582dc82b781428740878a8160",
  ],
  [
    "windows-31j",
    "会議の資料を送ります。よろしくお願いします。①㈱～",
    "89ef8b6382cc8e9197bf82f0919782e882dc82b7814282e682eb82b582ad82a88ae882a282b582dc82b781428740878a8160",
  ],
  [
    "x-sjis",
    "会議の資料を送ります。よろしくお願いします。①㈱～",
    "89ef8b6382cc8e9197bf82f0919782e882dc82b7814282e682eb82b582ad82a88ae882a282b582dc82b781428740878a8160",
  ],
  [
    "EUC-JP",
    "会議の資料を送ります。よろしくお願いします。",
    "b2f1b5c4a4cebbf1cec1a4f2c1f7a4eaa4dea4b9a1a3a4e8a4eda4b7a4afa4aab4eaa4a4a4b7a4dea4b9a1a3",
  ],
  [
    "eucJP-ms",
    "会議の資料を送ります。よろしくお願いします。",
    "b2f1b5c4a4cebbf1cec1a4f2c1f7a4eaa4dea4b9a1a3a4e8a4eda4b7a4afa4aab4eaa4a4a4b7a4dea4b9a1a3",
  ],
  ["GB2312", "会议资料已经发送给您", "bbe1d2e9d7cac1cfd2d1beadb7a2cbcdb8f8c4fa"],
  ["gbk", "会议资料已经发送给您", "bbe1d2e9d7cac1cfd2d1beadb7a2cbcdb8f8c4fa"],
  ["gb18030", "会议资料已经发送给您", "bbe1d2e9d7cac1cfd2d1beadb7a2cbcdb8f8c4fa"],
  ["Big5", "會議資料已經寄給您了", "b77cc4b3b8eaaec6a477b867b148b5b9b17aa446"],
  ["cp950", "會議資料已經寄給您了", "b77cc4b3b8eaaec6a477b867b148b5b9b17aa446"],
  ["EUC-KR", "회의 자료를 보내 드립니다", "c8b8c0c720c0dab7e1b8a620bab8b3bb20b5e5b8b3b4cfb4d9"],
  ["ks_c_5601-1987", "회의 자료를 보내 드립니다", "c8b8c0c720c0dab7e1b8a620bab8b3bb20b5e5b8b3b4cfb4d9"],
  ["cp949", "회의 자료를 보내 드립니다", "c8b8c0c720c0dab7e1b8a620bab8b3bb20b5e5b8b3b4cfb4d9"],
  ["windows-1250", "Žluťoučký kůň", "8e6c759d6f75e86bfd206bf9f2"],
  ["windows-1251", "Привет, коллеги", "cff0e8e2e5f22c20eaeeebebe5e3e8"],
  ["koi8-r", "Привет, коллеги", "f0d2c9d7c5d42c20cbcfccccc5c7c9"],
  ["windows-1252", "déjà – “vu” €", "64e96ae0209620937675942080"],
  ["windows-1253", "Καλημέρα", "cae1ebe7ecddf1e1"],
  ["windows-1254", "ığüşöç", "fdf0fcfef6e7"],
  ["windows-1255", "שלום", "f9ece5ed"],
  ["windows-1256", "مرحبا", "e3d1cdc8c7"],
  ["windows-1257", "ąčęėįšų", "e0e8e6ebe1f0f8"],
  ["windows-1258", "Hà Nôi", "48e0204ef469"],
  ["iso-8859-2", "Žluťoučký", "ae6c75bb6f75e86bfd"],
  ["iso-8859-15", "10 €", "313020a4"],
  [
    "utf-8",
    "会議の資料を送ります。よろしくお願いします。",
    "e4bc9ae8adb0e381aee8b387e69699e38292e98081e3828ae381bee38199e38082e38288e3828de38197e3818fe3818ae9a198e38184e38197e381bee38199e38082",
  ],
  ["utf-16le", "会議", "1a4f708b"],
];

/** Texts that come without a charset, or with a wrong one. */
export const UNLABELLED_SAMPLES: ReadonlyArray<readonly [what: string, text: string, hex: string]> = [
  [
    "Shift_JIS",
    "会議の資料を送ります。よろしくお願いします。",
    "89ef8b6382cc8e9197bf82f0919782e882dc82b7814282e682eb82b582ad82a88ae882a282b582dc82b78142",
  ],
  [
    "EUC-JP",
    "会議の資料を送ります。よろしくお願いします。",
    "b2f1b5c4a4cebbf1cec1a4f2c1f7a4eaa4dea4b9a1a3a4e8a4eda4b7a4afa4aab4eaa4a4a4b7a4dea4b9a1a3",
  ],
  ["ISO-2022-JP", "会議の資料を送ります。", "1b244232713544244e3b714e4124724177246a245e243921231b2842"],
  ["UTF-8", "会議の資料を送ります。", "e4bc9ae8adb0e381aee8b387e69699e38292e98081e3828ae381bee38199e38082"],
  ["GB2312", "会议资料已经发送给您，请查收", "bbe1d2e9d7cac1cfd2d1beadb7a2cbcdb8f8c4faa3acc7ebb2e9cad5"],
  ["Big5", "會議資料已經寄給您了，請查收", "b77cc4b3b8eaaec6a477b867b148b5b9b17aa446a141bdd0ac64a6ac"],
  ["EUC-KR", "회의 자료를 보내 드립니다", "c8b8c0c720c0dab7e1b8a620bab8b3bb20b5e5b8b3b4cfb4d9"],
  [
    "windows-1252",
    "Le café est fermé à midi, déjà vu",
    "4c6520636166e920657374206665726de920e0206d6964692c2064e96ae0207675",
  ],
  [
    "windows-1252, German",
    "Grüße aus Köln, schöne Straße",
    "4772fcdf6520617573204bf66c6e2c20736368f66e652053747261df65",
  ],
];
