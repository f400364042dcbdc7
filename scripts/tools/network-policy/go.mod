module rayops/tools/network-policy

go 1.26.8
